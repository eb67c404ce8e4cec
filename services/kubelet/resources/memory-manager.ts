/**
 * The static memory manager: containers of Guaranteed pods get their memory and huge pages promised on certain NUMA
 * nodes, and may use no others (cpuset_mems). A container that needs more than one node has ties the nodes together:
 * until it is gone these serve only containers with the same set. The state survives restarts.
 */
import { existsSync, readFileSync } from 'node:fs';
import type { Pod } from '#contracts/kubernetes/types.ts';
import { SkiffError, wrapError } from '#foundation/base/errors.ts';
import { replaceFileSync } from '#foundation/base/files.ts';
import type { AnyContainer } from '../ports.ts';
import { formatCpus } from './cpu-set.ts';
import {
  type Block,
  bestAffinity,
  checkState,
  type MemoryNodes,
  memoryHints,
  memoryNodes,
  requestedMemory,
  stateOf,
} from './memory-nodes.ts';
import type { Hints } from './topology/hints.ts';
import type { Giver } from './topology/manager.ts';
import { maskOf, type NumaMask, nodesOf } from './topology/mask.ts';
import type { NumaNode } from './topology/numa.ts';

/** What the manager needs. */
export interface MemoryManagerDeps {
  policy: 'None' | 'Static';
  nodes: readonly NumaNode[];
  /** Bytes kept back on each node, by resource (`memory`, `hugepages-2Mi`): `reservedMemory`. */
  reserved: ReadonlyMap<number, ReadonlyMap<string, number>>;
  /** `<kubelet root>/memory_manager_state`. */
  stateFile: string;
}

/** The manager. */
export interface MemoryManager extends Giver {
  /** The NUMA nodes whose memory a container may use, as a list (`0-1`); empty for any. */
  memsFor(podUid: string, container: string): string;
  /** What a container was promised. */
  blocks(podUid: string, container: string): readonly Block[];
  /** Bytes that could be promised if nothing were: by node and resource. */
  allocatable(): readonly Block[];
}

type Entries = Map<string, Map<string, Block[]>>;

/** The state file; the original's shape. */
interface State {
  policyName: string;
  machineState: unknown;
  entries?: Record<string, Record<string, Block[]>>;
}

/** Makes the manager. @throws SkiffError FAILED_PRECONDITION for a state that does not fit this machine. */
export function createMemoryManager(deps: MemoryManagerDeps): MemoryManager {
  const isOn = deps.policy === 'Static';
  const entries: Entries = isOn ? load(deps) : new Map();
  const now = () => memoryNodes(deps, entries);
  const save = () => {
    const lists = [...entries].map(([uid, containers]) => [uid, Object.fromEntries(containers)]);
    const state: State = {
      policyName: 'Static',
      machineState: stateOf(now()),
      entries: Object.fromEntries(lists),
    };
    replaceFileSync(deps.stateFile, JSON.stringify(state));
  };
  if (isOn) save();
  const held = (pod: Pod, name: string) => entries.get(pod.metadata.uid ?? '')?.get(name);
  const hintsFor = (request: ReadonlyMap<string, number>, blocks: readonly Block[] | undefined): Hints => {
    if (!isOn || request.size === 0) return new Map();
    if (blocks !== undefined && blocks.length > 0) return heldHints(request, blocks);
    return memoryHints(now(), request);
  };
  return {
    hints: (pod, container) => hintsFor(requestedMemory(pod, container), held(pod, container.name)),
    podHints: (pod) =>
      hintsFor(
        podMemory(pod),
        pod.spec.containers.flatMap(({ name }) => held(pod, name) ?? []),
      ),
    allocate(pod, container, affinity) {
      if (!isOn || held(pod, container.name) !== undefined) return;
      const request = requestedMemory(pod, container);
      if (request.size === 0) return;
      const own = entries.get(pod.metadata.uid ?? '') ?? new Map<string, Block[]>();
      const blocks = promise(now(), pod, container, { request, own, affinity });
      entries.set(pod.metadata.uid ?? '', own.set(container.name, blocks));
      save();
    },
    memsFor(podUid, container) {
      const blocks = entries.get(podUid)?.get(container) ?? [];
      return formatCpus(blocks.flatMap(({ numaAffinity }) => numaAffinity));
    },
    blocks: (podUid, container) => entries.get(podUid)?.get(container) ?? [],
    allocatable: () =>
      memoryNodes(deps, new Map()).flatMap(({ id, amounts }) =>
        [...amounts].map(([type, { allocatable }]) => ({ numaAffinity: [id], type, size: allocatable })),
      ),
    retain(podUids) {
      const gone = [...entries.keys()].filter((uid) => !podUids.has(uid));
      for (const uid of gone) entries.delete(uid);
      if (gone.length > 0) save();
    },
  };
}

interface Promising {
  request: ReadonlyMap<string, number>;
  /** What the pod's containers have; init containers give from it what is used again. */
  own: Map<string, Block[]>;
  affinity: NumaMask | undefined;
}

/** @throws SkiffError RESOURCE_EXHAUSTED. */
function promise(
  nodes: MemoryNodes,
  pod: Pod,
  container: AnyContainer,
  { request, own, affinity }: Promising,
): Block[] {
  const passing = (pod.spec.initContainers ?? []).filter((each) => each.restartPolicy !== 'Always');
  const handedOn = passing.flatMap(({ name }) => own.get(name) ?? []);
  const mask = bestAffinity(nodes, request, affinity, handedOn);
  if (mask === undefined)
    throw new SkiffError(
      'RESOURCE_EXHAUSTED',
      `[memorymanager] failed to find the default preferred hint: not enough memory on any set of NUMA nodes for container "${container.name}"`,
    );
  const blocks: Block[] = [];
  for (const [type, size] of request) {
    blocks.push({ numaAffinity: nodesOf(mask), type, size });
    // What the init containers had here is not counted twice.
    let again = size;
    for (const block of handedOn) {
      if (block.type !== type || maskOf(block.numaAffinity) !== mask) continue;
      const used = Math.min(again, block.size);
      block.size -= used;
      again -= used;
    }
  }
  return blocks;
}

/** What is held stays where it is: one hint for each resource, or none that fits. */
function heldHints(request: ReadonlyMap<string, number>, blocks: readonly Block[]): Hints {
  return new Map(
    [...request.keys()].map((type) => {
      const own = blocks.filter((block) => block.type === type);
      if (own.length === 0) return [type, []];
      return [type, [{ affinity: maskOf(own.flatMap(({ numaAffinity }) => numaAffinity)), preferred: true }]];
    }),
  );
}

/** What a pod's containers need together, or its largest init container with the sidecars before it. */
function podMemory(pod: Pod): Map<string, number> {
  const total = new Map<string, number>();
  const peak = new Map<string, number>();
  const add = (into: Map<string, number>, request: ReadonlyMap<string, number>) => {
    for (const [type, size] of request) into.set(type, (into.get(type) ?? 0) + size);
  };
  for (const container of pod.spec.initContainers ?? []) {
    const own = requestedMemory(pod, container);
    const with_ = new Map(total);
    add(with_, own);
    if (container.restartPolicy === 'Always') add(total, own);
    for (const [type, size] of with_) peak.set(type, Math.max(peak.get(type) ?? 0, size));
  }
  for (const container of pod.spec.containers) add(total, requestedMemory(pod, container));
  for (const [type, size] of peak) total.set(type, Math.max(total.get(type) ?? 0, size));
  return total;
}

function load(deps: MemoryManagerDeps): Entries {
  if (!existsSync(deps.stateFile)) return new Map();
  const state = readState(deps.stateFile);
  const entries: Entries = new Map(
    Object.entries(state.entries ?? {}).map(([uid, containers]) => [
      uid,
      new Map(Object.entries(containers)),
    ]),
  );
  const problem = checkState(deps, entries);
  if (problem === undefined) return entries;
  throw new SkiffError(
    'FAILED_PRECONDITION',
    `${deps.stateFile} does not fit this machine (${problem}): drain the node and delete the file`,
  );
}

function readState(path: string): State {
  try {
    return JSON.parse(readFileSync(path, 'utf8')) as State;
  } catch (error) {
    throw wrapError(error, `Cannot read the promises in "${path}" (drain the node and delete the file)`);
  }
}
