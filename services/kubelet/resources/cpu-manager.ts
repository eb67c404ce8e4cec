/**
 * The static CPU manager: containers of Guaranteed pods that ask for whole CPUs get these for themselves; all others
 * share the rest. The state survives restarts; `cpu-reconcile.ts` tells containers when the shared CPUs change.
 */
import { existsSync, readFileSync } from 'node:fs';
import type { Pod } from '#contracts/kubernetes/types.ts';
import { SkiffError, wrapError } from '#foundation/base/errors.ts';
import { replaceFileSync } from '#foundation/base/files.ts';
import { formatCpus, parseCpus } from './cpu-set.ts';
import {
  type CpuEntries,
  cpuHints,
  type Placing,
  podCpus,
  reusableOf,
  takeNear,
  wholeCpus,
} from './cpu-shares.ts';
import { type Cpu, threadsPerCore } from './cpu-topology.ts';
import type { Giver } from './topology/manager.ts';

/** What the manager needs. */
export interface CpuManagerDeps {
  policy: 'none' | 'static';
  cpus: readonly Cpu[];
  /** CPUs for the system alone: these share, but are never given away. */
  reserved: readonly number[];
  /** `full-pcpus-only`: whole cores or nothing. */
  fullCoresOnly?: boolean;
  /** `strict-cpu-reservation`: pods do not share the reserved CPUs either. */
  strictReservation?: boolean;
  /** The other options. */
  placing?: Placing;
  /** `<kubelet root>/cpu_manager_state`. */
  stateFile: string;
}

/** The manager. */
export interface CpuManager extends Giver {
  /** The cpuset list for a container; empty for no restriction. */
  cpusFor(podUid: string, container: string): string;
  /** CPUs that a container has for itself. */
  exclusive(podUid: string, container: string): number[];
  /** CPUs that may be given away. */
  allocatable(): number[];
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
  const groupSize = deps.fullCoresOnly === true ? threadsPerCore(deps.cpus) : 1;
  const placing: Placing = { ...deps.placing, groupSize };
  const entries: CpuEntries = deps.policy === 'static' ? load(deps, all) : new Map();
  const given = () => new Set([...entries.values()].flatMap((containers) => [...containers.values()].flat()));
  const shared = () => {
    const taken = given();
    const kept = deps.strictReservation === true ? deps.reserved : [];
    return all.filter((id) => !taken.has(id) && !kept.includes(id));
  };
  const free = () => {
    const taken = given();
    return all.filter((id) => !deps.reserved.includes(id) && !taken.has(id));
  };
  const save = () => replaceFileSync(deps.stateFile, JSON.stringify(stateOf(entries, shared())));
  if (deps.policy === 'static') save();
  const heldBy = (pod: Pod, name: string) => entries.get(pod.metadata.uid ?? '')?.get(name);
  return {
    hints(pod, container) {
      if (deps.policy === 'none') return new Map();
      const reusable = reusableOf(entries, pod);
      const held = heldBy(pod, container.name);
      const wanted = { count: wholeCpus(pod, container), held, free: free(), reusable };
      return cpuHints(deps.cpus, wanted, placing);
    },
    podHints(pod) {
      if (deps.policy === 'none') return new Map();
      const held = new Set([...(entries.get(pod.metadata.uid ?? '')?.values() ?? [])].flat());
      const wanted = { count: podCpus(pod), free: free(), reusable: [] };
      return cpuHints(deps.cpus, held.size === 0 ? wanted : { ...wanted, held: [...held] }, placing);
    },
    refuses: (pod, container) =>
      deps.policy === 'none' ? undefined : refusal(deps, wholeCpus(pod, container)),
    allocate(pod, container, affinity) {
      if (deps.policy === 'none' || heldBy(pod, container.name) !== undefined) return;
      const count = wholeCpus(pod, container);
      if (count === 0) return;
      const reusable = reusableOf(entries, pod);
      const cpus = takeNear(deps.cpus, { free: free(), reusable, count, affinity }, placing);
      if (cpus === undefined) {
        const why = `not enough cpus available to satisfy request: requested=${count}, available=${free().length + reusable.length}`;
        throw new SkiffError('RESOURCE_EXHAUSTED', `${why} (container "${container.name}")`);
      }
      const uid = pod.metadata.uid ?? '';
      entries.set(uid, (entries.get(uid) ?? new Map<string, number[]>()).set(container.name, cpus));
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

function refusal({ cpus, fullCoresOnly }: CpuManagerDeps, count: number) {
  const threads = threadsPerCore(cpus);
  if (fullCoresOnly !== true || count % threads === 0) return undefined;
  const message = `SMT Alignment Error: requested ${count} cpus not multiple cpus per core = ${threads}`;
  return { reason: 'SMTAlignmentError', message };
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
  const state = readState(stateFile);
  const entries = new Map(
    // Another policy leaves them out.
    Object.entries(state.entries ?? {}).map(([uid, containers]) => [
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

/** @throws SkiffError INTERNAL for a damaged file. */
function readState(path: string): Partial<State> {
  try {
    return JSON.parse(readFileSync(path, 'utf8')) as State;
  } catch (error) {
    throw wrapError(
      error,
      `Cannot read which CPUs were given away in "${path}" (drain the node and delete the file)`,
    );
  }
}
