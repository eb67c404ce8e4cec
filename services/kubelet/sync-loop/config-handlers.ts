/** What a change of the desired state leads to. */
import type { Pod } from '#contracts/kubernetes/types.ts';
import { messageOf } from '#foundation/base/errors.ts';
import type { PodUpdate } from '../config/pod-config.ts';
import { fullName, hasTerminalPhase, isDeleted, isMirror, title, uidOf } from '../pods/identity.ts';
import { activePods, holders, podsWithVolumes } from './active.ts';
import type { LoopDeps } from './deps.ts';
import { considerResize } from './resize.ts';

/** Takes in one update; updates are handled one after another. */
export async function handleUpdate(deps: LoopDeps, update: PodUpdate): Promise<void> {
  const handle = { ADD: add, REMOVE: remove, RECONCILE: reconcile, UPDATE: change, DELETE: change }[
    update.op
  ];
  for (const pod of byCreation(update.pods)) {
    try {
      await handle(deps, pod);
    } catch (error) {
      // The other pods must not suffer; housekeeping starts what has no worker.
      deps.logger.error({ pod: title(pod), error: messageOf(error) }, 'Cannot take in a change of a pod');
    }
  }
  // Only now: while pods of a first set are still being taken in, what others hold must not be given away.
  deps.sources.seen(update.source);
  // Before every source was seen, a pod that is not there may only not have been told of yet.
  if (deps.sources.allReady()) deps.volumes.reconcile(podsWithVolumes(deps));
}

/** Older pods first: they were promised their resources before. */
function byCreation(pods: readonly Pod[]): Pod[] {
  const time = (pod: Pod) => pod.metadata.creationTimestamp ?? '';
  return [...pods].sort((a, b) => (time(a) < time(b) ? -1 : Number(time(a) > time(b))));
}

async function add(deps: LoopDeps, pod: Pod): Promise<void> {
  deps.pods.set(pod);
  if (isMirror(pod)) {
    mirrorChanged(deps, pod);
    return;
  }
  if (!hasTerminalPhase(pod) && !isDeleted(pod) && !(await admit(deps, pod))) return;
  const mirror = deps.pods.mirrorOf(pod);
  deps.workers.update({ kind: 'create', pod, mirror });
}

/** @returns false when the pod was rejected: its status says so. */
async function admit(deps: LoopDeps, pod: Pod): Promise<boolean> {
  const uid = uidOf(pod);
  const others = activePods(deps).filter((other) => uidOf(other) !== uid);
  const verdict = await deps.admission.admit(deps.allocation.allocated(pod), others);
  if (verdict.admit) {
    if (!deps.allocation.wantsResize(pod)) deps.allocation.grant(pod);
    return true;
  }
  const { reason, message } = verdict;
  deps.events.pod(pod, 'Warning', reason, message);
  deps.statuses.set(pod, {
    ...pod.status,
    phase: 'Failed',
    reason,
    message: `Pod was rejected: ${message}`,
  });
  deps.runtime.counters.podRejected(reason);
  // What it was given before something else kept it out.
  if (deps.sources.allReady()) deps.admission.retain(holders(deps));
  return false;
}

function change(deps: LoopDeps, pod: Pod): void {
  deps.pods.set(pod);
  if (isMirror(pod)) {
    mirrorChanged(deps, pod);
    return;
  }
  considerResize(deps, pod);
  deps.workers.update({ kind: 'update', pod, mirror: deps.pods.mirrorOf(pod) });
}

/** A mirror came or changed: its static pod compares itself with it. */
function mirrorChanged(deps: LoopDeps, mirror: Pod): void {
  const pod = deps.pods.staticOf(mirror);
  if (pod !== undefined) deps.workers.update({ kind: 'update', pod, mirror });
}

function remove(deps: LoopDeps, pod: Pod): void {
  deps.pods.remove(pod);
  if (isMirror(pod)) {
    const own = deps.pods.byName(fullName(pod));
    if (own !== undefined) deps.workers.update({ kind: 'update', pod: own });
    return;
  }
  // Before all sources were seen it may stand in another; housekeeping ends it later.
  if (deps.sources.allReady()) deps.workers.update({ kind: 'kill', pod });
}

/** Only the status changed: a readiness gate may have been opened by its controller. */
function reconcile(deps: LoopDeps, pod: Pod): void {
  deps.pods.set(pod);
  if (isMirror(pod)) return;
  if ((pod.spec.readinessGates ?? []).length > 0) {
    deps.workers.update({ kind: 'sync', pod, mirror: deps.pods.mirrorOf(pod) });
  }
}
