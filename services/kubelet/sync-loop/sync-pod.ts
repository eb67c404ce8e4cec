/** One sync of a pod that should run: from its status to its running containers (kubelet-facts 3). */
import type { Pod, PodStatus } from '#contracts/kubernetes/types.ts';
import { isSkiffError, messageOf, SkiffError, wrapError } from '#foundation/base/errors.ts';
import { networkNotReady, SyncError } from '../pod-workers/requeue.ts';
import type { SyncResult, WorkerUpdate } from '../pod-workers/state.ts';
import { isStatic, specOf, title, uidOf } from '../pods/identity.ts';
import type { Mounts } from '../ports.ts';
import type { RuntimePodStatus } from '../runtime-manager/model.ts';
import { syncPod as syncRuntime } from '../runtime-manager/sync-pod.ts';
import { deadlineReason } from '../status/deadline.ts';
import { generateStatus } from '../status/generate.ts';
import { activePods } from './active.ts';
import type { LoopDeps } from './deps.ts';

/**
 * @throws SyncError with everything that failed; the events are recorded.
 */
export async function syncPod(
  deps: LoopDeps,
  update: WorkerUpdate,
  runtime: RuntimePodStatus,
  signal: AbortSignal,
): Promise<SyncResult> {
  const pod = deps.allocation.allocated(update.pod);
  const status = setStatus(deps, pod, runtime);
  if (status.phase === 'Succeeded' || status.phase === 'Failed') return { terminal: true, changed: false };
  requireNetwork(deps, pod);
  deps.api?.registerPod(pod);
  await makeCgroup(deps, pod);
  if (isStatic(pod)) deps.mirrors.reconcile(pod, update.mirror);
  deps.directories.make(uidOf(pod));
  const mounts = await waitForVolumes(deps, pod, signal);
  deps.probes.add(pod);
  const outcome = await syncRuntime(deps.runtime, {
    pod,
    status: runtime,
    mounts,
    signal,
    // Its address is worth showing before images are pulled.
    onSandboxReady: (sandbox) => {
      const sandboxes = [sandbox, ...runtime.sandboxes];
      setStatus(deps, pod, { ...runtime, sandboxes, ips: sandbox.ips });
    },
  });
  deps.reasons.update(uidOf(pod), outcome);
  const errors = [...outcome.errors, ...outcome.failures.values()];
  if ((outcome.failures.size > 0 || outcome.resized) && !signal.aborted) {
    // The cause should be seen now, not at the next sync; so should the end of a resize.
    setStatus(
      deps,
      pod,
      outcome.changed ? await deps.pleg.fresh(uidOf(pod), deps.clock.monotonic()) : runtime,
    );
  }
  if (errors.length > 0) {
    throw new SyncError(errors, `Cannot sync pod ${title(pod)}: ${errors.map(messageOf).join('; ')}`);
  }
  return { terminal: false, changed: outcome.changed };
}

/** Makes the status from what is known and keeps it. */
export function setStatus(
  deps: LoopDeps,
  pod: Pod,
  runtime: RuntimePodStatus,
  terminated = false,
  change?: (status: PodStatus) => void,
): PodStatus {
  const before = deps.statuses.status(uidOf(pod)) ?? pod.status;
  const status = generateStatus(deps.generate, { pod, runtime, before, terminated });
  change?.(status);
  if (status.reason === deadlineReason && before?.reason !== deadlineReason) {
    deps.events.pod(pod, 'Normal', deadlineReason, status.message ?? '');
  }
  deps.statuses.set(pod, status);
  return status;
}

/** @throws SkiffError UNAVAILABLE while only host-network pods can run. */
function requireNetwork(deps: LoopDeps, pod: Pod): void {
  const errors = deps.runtimeState.networkErrors();
  if (errors.length === 0 || specOf(pod).hostNetwork === true) return;
  const message = `network is not ready: ${errors.join('; ')}`;
  deps.events.pod(pod, 'Warning', 'NetworkNotReady', message);
  throw new SkiffError('UNAVAILABLE', `${networkNotReady}: ${message}`);
}

async function makeCgroup(deps: LoopDeps, pod: Pod): Promise<void> {
  try {
    if (deps.resources.podCgroupExists(pod)) return;
    // The share of its level grows before it takes part in it.
    await deps.resources.updateQos(activePods(deps));
    await deps.resources.createPodCgroup(pod);
  } catch (error) {
    const message = `unable to ensure pod container exists: ${messageOf(error)}`;
    deps.events.pod(pod, 'Warning', 'FailedToCreatePodContainer', message);
    throw wrapError(error, `Cannot make the cgroup of pod ${title(pod)}`);
  }
}

async function waitForVolumes(deps: LoopDeps, pod: Pod, signal: AbortSignal): Promise<Mounts> {
  const limit = AbortSignal.any([signal, AbortSignal.timeout(deps.volumeTimeoutMs)]);
  try {
    return await deps.volumes.waitForMounts(pod, limit);
  } catch (error) {
    if (!signal.aborted && !isSkiffError(error, 'CANCELLED')) {
      deps.events.pod(pod, 'Warning', 'FailedMount', messageOf(error));
    }
    throw wrapError(error, `Cannot mount the volumes of pod ${title(pod)}`);
  }
}
