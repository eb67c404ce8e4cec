/** Which pods count: for admission, eviction, QoS and volumes. */
import type { Pod } from '#contracts/kubernetes/types.ts';
import { isEnding, mayHaveContainers } from '../pod-workers/state.ts';
import { hasTerminalPhase, uidOf } from '../pods/identity.ts';
import type { LoopDeps } from './deps.ts';

type Deps = Pick<LoopDeps, 'pods' | 'workers' | 'statuses'>;

/** Desired pods that are not over, with their granted resources. */
export function activePods(deps: Deps & Pick<LoopDeps, 'allocation'>): Pod[] {
  return deps.pods
    .pods()
    .filter((pod) => isActive(deps, pod))
    .map((pod) => deps.allocation.allocated(pod));
}

function isActive({ workers, statuses }: Deps, pod: Pod): boolean {
  const worker = workers.get(uidOf(pod));
  if (worker !== undefined) return mayHaveContainers(worker.state);
  const phase = statuses.status(uidOf(pod))?.phase;
  return !hasTerminalPhase(pod) && phase !== 'Succeeded' && phase !== 'Failed';
}

/**
 * Pods that may hold CPUs, memory and devices: those that may have containers, also when they are no longer desired, and
 * those that were admitted and have no worker yet.
 */
export function holders(deps: Deps & Pick<LoopDeps, 'allocation'>): Set<string> {
  const uids = new Set(activePods(deps).map(uidOf));
  for (const worker of deps.workers.all()) if (mayHaveContainers(worker.state)) uids.add(worker.uid);
  return uids;
}

/** Pods whose volumes must stay: those that may have containers, also when they are no longer desired. */
export function podsWithVolumes(deps: Deps): Pod[] {
  const pods = new Map<string, Pod>();
  for (const worker of deps.workers.all()) {
    if (mayHaveContainers(worker.state) && !worker.orphan) pods.set(worker.uid, worker.update.pod);
  }
  return [...pods.values()];
}

/** Whether a static pod of that name is on its way out. */
export function isNameEnding({ workers }: Pick<LoopDeps, 'workers'>, name: string): boolean {
  for (const worker of workers.all()) {
    if (worker.name === name && isEnding(worker.state) && worker.state.phase !== 'finished') return true;
  }
  return false;
}
