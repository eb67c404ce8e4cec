/** All containers by id, with their reserved names. Memory and disk change together: disk first. */

import type { ContainerConfig } from '#contracts/cri/runtime_pb.ts';
import { SkiffError } from '#foundation/base/errors.ts';
import type { Records } from '../store/store.ts';
import { isVisible, type Lifecycle } from './lifecycle.ts';
import { type ContainerRecord, decodeConfig, encodeConfig } from './record.ts';

/** A container in memory. */
export interface Container {
  readonly id: string;
  record: ContainerRecord;
  /** The decoded config of the record. */
  config: ContainerConfig;
  /** Resolves when it has exited and that is on disk. */
  readonly ended: PromiseWithResolvers<void>;
  /** True while StartContainer is at work: an exit that is seen then is applied afterwards. */
  starting: boolean;
  /** An exit that was seen while starting. */
  pendingExit?: () => void;
  /** What its process ran while it waited for the start: the runtime. Unknown after a restart of the server. */
  starter?: string;
  /** The stop signal has been sent. */
  stopping: boolean;
  /** The container as lists show it, in wire format, and the record that this was made of. */
  listed?: { of: ContainerRecord; element: Uint8Array };
}

/** The table. */
export interface ContainerTable {
  /** Adds a container and reserves its name. @throws SkiffError ALREADY_EXISTS if the name is taken. */
  add(record: ContainerRecord): Container;
  /** Forgets a container and frees its name. */
  remove(id: string): void;
  /** Changes the record. */
  change(container: Container, change: Partial<ContainerRecord>): void;
  /** Moves it on in its life. */
  advance(container: Container, life: Lifecycle): void;
  /** Changes the config. */
  configure(container: Container, config: ContainerConfig): void;
  /** By id or unique prefix, of those that clients see. */
  find(id: string): Container | undefined;
  /** @throws SkiffError NOT_FOUND. */
  get(id: string): Container;
  byName(name: string): Container | undefined;
  /** Those that clients see, oldest first. */
  list(): Container[];
  /** All, also those being made or removed. */
  all(): Container[];
}

/** Loads the table from its records. */
export function containerTable(records: Records<ContainerRecord>): ContainerTable {
  const byId = new Map<string, Container>();
  const byName = new Map<string, Container>();
  const enter = (record: ContainerRecord): Container => {
    const container: Container = {
      id: record.id,
      record,
      config: decodeConfig(record.config),
      ended: Promise.withResolvers<void>(),
      starting: false,
      stopping: false,
    };
    byId.set(record.id, container);
    byName.set(record.name, container);
    return container;
  };
  const change = (container: Container, part: Partial<ContainerRecord>) => {
    const record = { ...container.record, ...part };
    records.put(container.id, record);
    container.record = record;
  };
  const find = (id: string) => findIn(byId, id);
  for (const { value } of records.all().sort((a, b) => compare(a.value.createdAt, b.value.createdAt)))
    enter(value);
  return {
    add(record) {
      if (byName.has(record.name))
        throw new SkiffError(
          'ALREADY_EXISTS',
          `the name "${record.name}" is taken by container ${byName.get(record.name)?.id}`,
        );
      records.put(record.id, record);
      return enter(record);
    },
    remove(id) {
      records.delete(id);
      const container = byId.get(id);
      byId.delete(id);
      if (container !== undefined) byName.delete(container.record.name);
    },
    change,
    advance: (container, life) => change(container, { life }),
    configure(container, config) {
      change(container, { config: encodeConfig(config) });
      container.config = config;
    },
    find,
    get(id) {
      const container = find(id);
      if (container !== undefined) return container;
      throw new SkiffError('NOT_FOUND', `there is no container "${id}"`);
    },
    byName: (name) => byName.get(name),
    list: () => [...byId.values()].filter(({ record }) => isVisible(record.life)),
    all: () => [...byId.values()],
  };
}

function findIn(byId: ReadonlyMap<string, Container>, id: string): Container | undefined {
  const exact = byId.get(id);
  if (exact !== undefined) return isVisible(exact.record.life) ? exact : undefined;
  if (id === '' || id.length >= 64) return undefined;
  let found: Container | undefined;
  for (const [key, container] of byId) {
    if (!key.startsWith(id) || !isVisible(container.record.life)) continue;
    if (found !== undefined)
      throw new SkiffError('INVALID_ARGUMENT', `"${id}" is the beginning of more than one container's id`);
    found = container;
  }
  return found;
}

function compare(a: bigint, b: bigint): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** The name that is reserved: one attempt of one container of one pod. */
export function nameOf(
  container: { name: string; attempt: number },
  pod: { name: string; namespace: string; uid: string; attempt: number },
): string {
  return [container.name, pod.name, pod.namespace, pod.uid, container.attempt, pod.attempt].join('_');
}
