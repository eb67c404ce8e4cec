/** The phase of a pod from the statuses of its containers (kubelet-facts 4). */
import type { ContainerStatus, Pod, PodStatus } from '#contracts/kubernetes/types.ts';
import { initContainers, isSidecar } from '../pods/containers.ts';
import { isStatic } from '../pods/identity.ts';
import type { AnyContainer } from '../ports.ts';
import { verdictOf } from '../runtime-manager/restart-policy.ts';

export type Phase = 'Pending' | 'Running' | 'Succeeded' | 'Failed';

/** What the containers count up to. */
interface Counts {
  pendingInit: number;
  failedInit: number;
  waiting: number;
  running: number;
  stopped: number;
  succeeded: number;
  /** Of the stopped ones, those that will be started again. */
  restartable: number;
  unknown: number;
}

/**
 * @param terminated whether the pod is being ended for good: then its exits decide.
 */
export function phaseOf(
  pod: Pod,
  {
    initContainerStatuses: init = [],
    containerStatuses: regular = [],
  }: Pick<PodStatus, 'initContainerStatuses' | 'containerStatuses'>,
  terminated: boolean,
): Phase {
  const counts: Counts = {
    pendingInit: 0,
    failedInit: 0,
    waiting: 0,
    running: 0,
    stopped: 0,
    succeeded: 0,
    restartable: 0,
    unknown: 0,
  };
  for (const container of initContainers(pod)) countInit(pod, container, byName(init, container), counts);
  for (const container of pod.spec.containers)
    countRegular(pod, container, byName(regular, container), counts);
  if (counts.failedInit > 0) return 'Failed';
  const initialized = regular.some((status) => started(status));
  if ((counts.pendingInit > 0 && !initialized) || counts.waiting > 0) return 'Pending';
  if (counts.unknown > 0) return 'Pending';
  if (counts.running > 0) return 'Running';
  if (counts.stopped === 0) return 'Pending';
  const byExits = counts.stopped === counts.succeeded ? 'Succeeded' : 'Failed';
  if (terminated && !isStatic(pod)) return byExits;
  return counts.restartable > 0 ? 'Running' : byExits;
}

function byName(statuses: readonly ContainerStatus[], container: AnyContainer): ContainerStatus | undefined {
  return statuses.find((status) => status.name === container.name);
}

function started(status: ContainerStatus): boolean {
  return (
    status.state?.running !== undefined ||
    status.state?.terminated !== undefined ||
    status.lastState?.terminated !== undefined
  );
}

function countInit(
  pod: Pod,
  container: AnyContainer,
  status: ContainerStatus | undefined,
  counts: Counts,
): void {
  const { running, terminated } = status?.state ?? {};
  if (isSidecar(container)) {
    const waited = terminated !== undefined || status?.lastState?.terminated !== undefined;
    if (running === undefined ? !waited : status?.started !== true) counts.pendingInit += 1;
    return;
  }
  const exit = terminated ?? (running === undefined ? status?.lastState?.terminated : undefined);
  if (exit === undefined) counts.pendingInit += 1;
  else if (exit.exitCode !== 0 || exit.reason === 'OOMKilled') {
    if (stays(pod, container, exit)) counts.failedInit += 1;
    else counts.pendingInit += 1;
  }
}

function countRegular(
  pod: Pod,
  container: AnyContainer,
  status: ContainerStatus | undefined,
  counts: Counts,
): void {
  const { running, terminated, waiting } = status?.state ?? {};
  const exit = terminated ?? status?.lastState?.terminated;
  if (running !== undefined) counts.running += 1;
  else if (terminated === undefined && waiting === undefined) counts.unknown += 1;
  else if (exit === undefined) counts.waiting += 1;
  else {
    counts.stopped += 1;
    if (terminated?.exitCode === 0) counts.succeeded += 1;
    if (!stays(pod, container, exit)) counts.restartable += 1;
  }
}

function stays(pod: Pod, container: AnyContainer, exit: { exitCode: number; reason?: string }): boolean {
  return verdictOf(pod, container, { exitCode: exit.exitCode, reason: exit.reason ?? '' }) === 'stay';
}
