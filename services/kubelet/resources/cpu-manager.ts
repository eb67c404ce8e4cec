/**
 * The static CPU manager: containers of Guaranteed pods that ask for whole CPUs get these for themselves; all others
 * share the rest. The state survives restarts; a container that shares is told when the shared CPUs change.
 */
import { existsSync, readFileSync } from 'node:fs';
import type { CriClient } from '#contracts/cri/client.ts';
import { ContainerState } from '#contracts/cri/runtime_pb.ts';
import type { Pod } from '#contracts/kubernetes/types.ts';
import { SkiffError } from '#foundation/base/errors.ts';
import { replaceFileSync } from '#foundation/base/files.ts';
import type { Logger } from '#foundation/base/log.ts';
import type { AnyContainer } from '../ports.ts';
import { milliCpuOf } from './amounts.ts';
import { formatCpus, parseCpus } from './cpu-set.ts';
import { type Cpu, takePacked } from './cpu-topology.ts';
import { qosOf } from './qos.ts';

/** What the manager needs. */
export interface CpuManagerDeps {
  policy: 'none' | 'static';
  cpus: readonly Cpu[];
  /** CPUs for the system alone: these share, but are never given away. */
  reserved: readonly number[];
  /** `<kubelet root>/cpu_manager_state`. */
  stateFile: string;
}

/** The manager. */
export interface CpuManager {
  /** Gives the pod's containers their CPUs. @throws SkiffError RESOURCE_EXHAUSTED. */
  allocate(pod: Pod): void;
  /** The cpuset list for a container; empty for no restriction. */
  cpusFor(podUid: string, container: string): string;
  /** CPUs that a container has for itself. */
  exclusive(podUid: string, container: string): number[];
  /** CPUs that may be given away. */
  allocatable(): number[];
  retain(podUids: ReadonlySet<string>): void;
}

/** The state file; the original's shape. */
interface State {
  policyName: string;
  defaultCpuSet: string;
  entries: Record<string, Record<string, string>>;
}

/** Makes the manager. @throws SkiffError FAILED_PRECONDITION for a state that does not fit this machine. */
export function createCpuManager(deps: CpuManagerDeps): CpuManager {
  const all = deps.cpus.map(({ id }) => id);
  const entries = deps.policy === 'static' ? load(deps, all) : new Map<string, Map<string, number[]>>();
  const given = () => new Set([...entries.values()].flatMap((containers) => [...containers.values()].flat()));
  const shared = () => all.filter((id) => !given().has(id));
  const save = () => replaceFileSync(deps.stateFile, JSON.stringify(stateOf(entries, shared())));
  if (deps.policy === 'static') save();
  return {
    allocate(pod) {
      if (deps.policy === 'none') return;
      const containers = entries.get(pod.metadata.uid ?? '') ?? new Map<string, number[]>();
      // Init containers run before the others and hand their CPUs on.
      const reusable = new Set<number>();
      const give = (container: AnyContainer, keep: boolean) => {
        const count = wholeCpus(pod, container);
        const held =
          containers.get(container.name) ?? (count === 0 ? undefined : take(container.name, count));
        for (const id of held ?? [])
          if (keep) reusable.delete(id);
          else reusable.add(id);
        if (held !== undefined) containers.set(container.name, held);
      };
      const take = (name: string, count: number) => {
        const taken = given();
        for (const ids of containers.values()) for (const id of ids) taken.add(id);
        const free = all.filter((id) => !deps.reserved.includes(id) && (!taken.has(id) || reusable.has(id)));
        const cpus = takePacked(deps.cpus, free, count);
        if (cpus !== undefined) return cpus;
        const why = `not enough cpus available to satisfy request: requested=${count}, available=${free.length}`;
        throw new SkiffError('RESOURCE_EXHAUSTED', `${why} (container "${name}")`);
      };
      for (const container of pod.spec.initContainers ?? [])
        give(container, container.restartPolicy === 'Always');
      for (const container of pod.spec.containers) give(container, true);
      if (containers.size > 0) entries.set(pod.metadata.uid ?? '', containers);
      save();
    },
    cpusFor(podUid, container) {
      if (deps.policy === 'none') return '';
      return formatCpus(entries.get(podUid)?.get(container) ?? shared());
    },
    exclusive: (podUid, container) => entries.get(podUid)?.get(container) ?? [],
    allocatable: () => all.filter((id) => !deps.reserved.includes(id)),
    retain(podUids) {
      const gone = [...entries.keys()].filter((uid) => !podUids.has(uid));
      for (const uid of gone) entries.delete(uid);
      if (gone.length > 0) save();
    },
  };
}

/** How many CPUs a container gets for itself: whole ones, of Guaranteed pods. */
function wholeCpus(pod: Pod, container: AnyContainer): number {
  if (qosOf(pod) !== 'Guaranteed') return 0;
  const milli = milliCpuOf(container.resources?.requests?.cpu ?? container.resources?.limits?.cpu ?? 0);
  return milli % 1000 === 0 ? milli / 1000 : 0;
}

function stateOf(entries: Map<string, Map<string, number[]>>, shared: readonly number[]): State {
  const lists = [...entries].map(([uid, containers]) => [
    uid,
    Object.fromEntries([...containers].map(([name, ids]) => [name, formatCpus(ids)])),
  ]);
  return { policyName: 'static', defaultCpuSet: formatCpus(shared), entries: Object.fromEntries(lists) };
}

function load({ stateFile }: CpuManagerDeps, all: readonly number[]): Map<string, Map<string, number[]>> {
  if (!existsSync(stateFile)) return new Map();
  const state = JSON.parse(readFileSync(stateFile, 'utf8')) as State;
  const entries = new Map(
    Object.entries(state.entries).map(([uid, containers]) => [
      uid,
      new Map(Object.entries(containers).map(([name, list]) => [name, parseCpus(list)])),
    ]),
  );
  const known = [...entries.values()].flatMap((containers) => [...containers.values()].flat());
  if (known.every((id) => all.includes(id))) return entries;
  throw new SkiffError(
    'FAILED_PRECONDITION',
    `${stateFile} names CPUs that this machine has not: drain the node and delete the file`,
  );
}

/** What bringing containers up to date needs. */
export interface CpuReconcileDeps {
  manager: CpuManager;
  cri: Pick<CriClient['runtime'], 'listContainers' | 'updateContainerResources'>;
  log: Logger;
}

/**
 * Tells running containers their CPUs where these have changed.
 *
 * @param told what each container was told last, by CRI id; kept between calls.
 */
export async function reconcileCpus(
  deps: CpuReconcileDeps,
  told: Map<string, string>,
  signal: AbortSignal,
): Promise<void> {
  const filter = { state: { state: ContainerState.CONTAINER_RUNNING } };
  const { containers } = await deps.cri.listContainers({ filter }, { signal });
  const ids = new Set(containers.map(({ id }) => id));
  for (const id of told.keys()) if (!ids.has(id)) told.delete(id);
  for (const { id, labels } of containers) {
    const uid = labels['io.kubernetes.pod.uid'] ?? '';
    const cpus = deps.manager.cpusFor(uid, labels['io.kubernetes.container.name'] ?? '');
    if (uid === '' || cpus === '' || told.get(id) === cpus) continue;
    try {
      await deps.cri.updateContainerResources({ containerId: id, linux: { cpusetCpus: cpus } }, { signal });
      told.set(id, cpus);
    } catch (error) {
      deps.log.warn({ containerId: id, err: error }, 'cannot tell a container its CPUs');
    }
  }
}
