/** The end of a pod: its containers, then everything it had (kubelet-facts 3). */
import type { Pod, PodStatus } from '#contracts/kubernetes/types.ts';
import { messageOf, SkiffError, wrapError } from '#foundation/base/errors.ts';
import { hasTerminalPhase, title, uidOf } from '../pods/identity.ts';
import type { KillHow } from '../ports.ts';
import { killPod } from '../runtime-manager/kill-pod.ts';
import { mayRun, type RuntimePodStatus } from '../runtime-manager/model.ts';
import { dated } from '../status/conditions.ts';
import { timeText } from '../status/container-state.ts';
import { activePods, holders } from './active.ts';
import type { LoopDeps } from './deps.ts';
import { retryResizes } from './resize.ts';
import { setStatus } from './sync-pod.ts';

/** How to end it. */
export interface EndHow {
  graceSeconds: number;
  kill?: KillHow;
  /** Only the runtime knows it: there is no status to keep. */
  orphan: boolean;
}

/** Ends the containers and keeps the final status. @throws what kept something alive. */
export async function terminatePod(
  deps: LoopDeps,
  pod: Pod,
  runtime: RuntimePodStatus,
  { graceSeconds, kill, orphan }: EndHow,
  signal: AbortSignal,
): Promise<void> {
  const uid = uidOf(pod);
  if (!orphan) {
    setStatus(deps, pod, runtime, false, (status) => applyKill(status, kill, deps.clock.now()));
    deps.probes.stopLivenessAndStartup(uid);
  }
  try {
    await killPod(deps.runtime, { pod, status: runtime, graceOverride: graceSeconds, signal });
  } catch (error) {
    if (signal.aborted) throw error;
    deps.events.pod(pod, 'Warning', 'FailedKillPod', `error killing pod: ${messageOf(error)}`);
    throw wrapError(error, `Cannot end pod ${title(pod)}`);
  } finally {
    deps.pleg.refresh(uid);
  }
  deps.probes.remove(uid);
  const after = await deps.pleg.fresh(uid, deps.clock.monotonic());
  const running = after.containers.filter((container) => mayRun(container.state));
  if (running.length > 0) {
    const names = running.map((container) => `${container.name} (${container.state})`).join(', ');
    throw new SkiffError('INTERNAL', `Cannot end pod ${title(pod)}: still there after the stop: ${names}`);
  }
  await deps.runtime.dynamicResources.unprepare(uid, signal);
  if (orphan) return;
  setStatus(deps, pod, after, true, (status) => applyKill(status, kill, deps.clock.now()));
}

/** What the killer says of the pod. */
function applyKill(status: PodStatus, kill: KillHow | undefined, now: number): void {
  if (kill === undefined || kill.reason === '') return;
  status.phase = 'Failed';
  status.reason = kill.reason;
  status.message = kill.message;
  if (kill.condition === undefined) return;
  const before = status.conditions ?? [];
  const condition = dated(kill.condition, { before, now: timeText(now) });
  status.conditions = [...before.filter(({ type }) => type !== condition.type), condition];
}

/** @throws what keeps a volume; an event says so, for nothing else of the pod is left that could. */
async function unmountAll({ volumes, events }: LoopDeps, pod: Pod, signal: AbortSignal): Promise<void> {
  try {
    await volumes.unmountAll(uidOf(pod), signal);
  } catch (error) {
    if (!signal.aborted)
      events.pod(pod, 'Warning', 'FailedUnMount', `Cannot take the pod's volumes away: ${messageOf(error)}`);
    throw error;
  }
}

/** Releases volumes, cgroup and registrations; nothing of the pod runs any more. */
export async function finishPod(
  deps: LoopDeps,
  pod: Pod,
  runtime: RuntimePodStatus,
  signal: AbortSignal,
): Promise<void> {
  const uid = uidOf(pod);
  setStatus(deps, pod, runtime, true);
  await unmountAll(deps, pod, signal);
  deps.api?.unregisterPod(pod);
  await deps.resources.removePodCgroup(uid);
  await deps.resources.updateQos(activePods(deps));
  deps.probes.remove(uid);
  deps.reasons.forget(uid);
  deps.runtime.sandboxes.delete(uid);
  if (!hasTerminalPhase({ ...pod, status: deps.statuses.status(uid) })) deps.statuses.terminate(pod);
  deps.statuses.finish(pod);
  // What it had may be what another waits for.
  if (deps.sources.allReady()) deps.admission.retain(holders(deps));
  retryResizes(deps);
}
