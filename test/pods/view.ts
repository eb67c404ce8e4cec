/** A pod's status in the short form that cases are written in: containers and conditions by name, states flat. */
import type { ContainerState, ContainerStatus, Pod } from '#contracts/kubernetes/types.ts';

/** A container's state: `waiting`, `running` or `terminated`, with what it says. */
function stateView(state: ContainerState | undefined) {
  const { waiting, running, terminated } = state ?? {};
  if (terminated !== undefined) {
    const { exitCode, signal, reason, message, startedAt, finishedAt } = terminated;
    return { state: 'terminated', exitCode, signal, reason, message, startedAt, finishedAt };
  }
  if (running !== undefined) return { state: 'running', startedAt: running.startedAt };
  if (waiting !== undefined) return { state: 'waiting', reason: waiting.reason, message: waiting.message };
  return { state: 'none' };
}

function containerView(status: ContainerStatus) {
  const { ready, started, restartCount, image, user, resources, allocatedResources, volumeMounts } = status;
  const last = status.lastState;
  return {
    ...stateView(status.state),
    ready,
    started,
    restarts: restartCount,
    image,
    user: user?.linux,
    resources,
    allocatedResources,
    volumeMounts,
    last: last?.terminated === undefined ? undefined : stateView(last),
  };
}

function byName(statuses: readonly ContainerStatus[] | undefined) {
  return Object.fromEntries((statuses ?? []).map((status) => [status.name, containerView(status)]));
}

/**
 * The short form: `phase`, `reason`, `message`, `qos`, `ip`, `ips`, `hostIP`, `conditions.TYPE.{status,reason,message}`,
 * `containers.NAME.{state,reason,message,exitCode,signal,ready,started,restarts,last,...}`, `init.NAME`,
 * `ephemeral.NAME`, `order` and `initOrder` (names as the status has them), `metadata` and `spec` as they are.
 */
export function viewOf(pod: Pod) {
  const status = pod.status ?? {};
  const conditions = (status.conditions ?? []).map((each) => [
    each.type,
    { status: each.status, reason: each.reason, message: each.message },
  ]);
  return {
    metadata: pod.metadata,
    spec: pod.spec,
    phase: status.phase,
    reason: status.reason,
    message: status.message,
    qos: status.qosClass,
    ip: status.podIP,
    ips: status.podIPs?.map(({ ip }) => ip),
    hostIP: status.hostIP,
    startTime: status.startTime,
    conditions: Object.fromEntries(conditions),
    containers: byName(status.containerStatuses),
    init: byName(status.initContainerStatuses),
    ephemeral: byName(status.ephemeralContainerStatuses),
    order: status.containerStatuses?.map(({ name }) => name),
    initOrder: status.initContainerStatuses?.map(({ name }) => name),
  };
}
