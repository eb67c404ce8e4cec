/** The statuses of a pod's containers of one kind, from the runtime, the last status and the reason cache. */
import type { ContainerStatus, Pod } from '#contracts/kubernetes/types.ts';
import { type ContainerKind, initContainers, isSidecar } from '../pods/containers.ts';
import { isDeleted } from '../pods/identity.ts';
import type { AnyContainer } from '../ports.ts';
import type { ContainerRecord, RuntimePodStatus } from '../runtime-manager/model.ts';
import { newestOf } from '../runtime-manager/model.ts';
import { mustStart } from '../runtime-manager/restart-policy.ts';
import { lostState, statusFrom } from './container-state.ts';
import type { ReasonCache } from './reason-cache.ts';

export interface StatusesRequest {
  pod: Pod;
  runtime: RuntimePodStatus;
  /** Of the last status. */
  before: readonly ContainerStatus[];
  containers: readonly AnyContainer[];
  kind: ContainerKind;
  reasons: Pick<ReasonCache, 'get'>;
  runtimeName: string;
}

/** Regular and ephemeral ones sorted by name, init containers in the order of the spec. */
export function containerStatuses(request: StatusesRequest): ContainerStatus[] {
  const statuses = request.containers.map((container) => {
    const before = request.before.find((status) => status.name === container.name);
    return withCause(request, container, statusOf(request, container, before));
  });
  if (request.kind === 'init') return statuses;
  return statuses.sort((a, b) => (a.name < b.name ? -1 : 1));
}

function statusOf(
  request: StatusesRequest,
  container: AnyContainer,
  before: ContainerStatus | undefined,
): ContainerStatus {
  const [newest, previous] = request.runtime.containers.filter((each) => each.name === container.name);
  if (newest === undefined) return absentStatus(request, container, before);
  const status = statusFrom(container, newest, request.runtimeName, before);
  const last =
    previous === undefined ? undefined : statusFrom(container, previous, request.runtimeName, before).state;
  const kept = before?.restartCount === status.restartCount ? before.lastState : undefined;
  status.lastState = last ?? kept ?? previousOf(before, status) ?? {};
  return status;
}

/** The record of the previous instance may be collected already: then its state stands in the last status. */
function previousOf(before: ContainerStatus | undefined, now: ContainerStatus) {
  if (before === undefined || before.restartCount >= now.restartCount) return undefined;
  return before.state?.terminated === undefined ? before.lastState : { terminated: before.state.terminated };
}

/** A container the runtime knows nothing of: not made yet, or lost. */
function absentStatus(
  { pod, kind, runtime }: StatusesRequest,
  container: AnyContainer,
  before: ContainerStatus | undefined,
): ContainerStatus {
  if (before?.state?.terminated !== undefined) return before;
  const waiting = initContainers(pod).length > 0 ? 'PodInitializing' : 'ContainerCreating';
  const status: ContainerStatus = {
    name: container.name,
    ready: false,
    started: false,
    restartCount: before?.restartCount ?? 0,
    image: container.image ?? '',
    imageID: '',
    state: { waiting: { reason: waiting } },
    lastState: before?.lastState ?? {},
  };
  if (kind === 'init' && !isSidecar(container) && passedInit(pod, runtime, container)) {
    // Its record was collected after it had done its work.
    status.state = {
      terminated: {
        reason: 'Completed',
        exitCode: 0,
        message: 'Unable to get init container status from container runtime',
      },
    };
    return status;
  }
  if (before?.state?.running === undefined || status.lastState?.terminated !== undefined) return status;
  const where = isDeleted(pod) ? 'when the pod was deleted' : 'when the pod was terminated';
  status.lastState = lostState(
    `The container could not be located ${where}.  The container used to be Running`,
  );
  if (!isDeleted(pod)) status.restartCount += 1;
  return status;
}

/** Whether a later container has a record: then this one was completed. */
function passedInit(pod: Pod, runtime: RuntimePodStatus, container: AnyContainer): boolean {
  const inits = initContainers(pod);
  const later = inits.slice(inits.findIndex((each) => each.name === container.name) + 1);
  return [...later, ...pod.spec.containers].some((each) => newestOf(runtime, each.name) !== undefined);
}

/** A container that should be started and could not be is waiting, and says why. */
function withCause(
  { pod, kind, runtime, reasons }: StatusesRequest,
  container: AnyContainer,
  status: ContainerStatus,
): ContainerStatus {
  const record: ContainerRecord | undefined = newestOf(runtime, container.name);
  if (kind === 'init' && !isSidecar(container) && status.state?.terminated?.exitCode === 0) return status;
  if (!mustStart(pod, container, record)) return status;
  const cause = reasons.get(pod.metadata.uid ?? '', container.name);
  if (cause === undefined) return status;
  const ended = status.state?.terminated;
  return {
    ...status,
    state: { waiting: { reason: cause.reason, ...(cause.message === '' ? {} : { message: cause.message }) } },
    ...(ended === undefined ? {} : { lastState: { terminated: ended } }),
  };
}
