/** What `skiff up` concludes from a pod's status: going on, ready, done, failed or stuck. */
import type { ContainerStatus, Pod } from '#contracts/kubernetes/types.ts';

/** Where a pod stands, in the eyes of somebody who waits for it. */
export type PodVerdict =
  | { kind: 'pending' }
  | { kind: 'ready' }
  | { kind: 'succeeded' }
  | { kind: 'failed'; reason: string; exitCode: number }
  /** It will not get ready unless somebody changes something, though the kubelet goes on trying. */
  | { kind: 'stuck'; reason: string };

/** Waiting reasons that time alone does not mend. */
const stuckReasons = new Set([
  'ErrImageNeverPull',
  'InvalidImageName',
  'ImagePullBackOff',
  'ImageInspectError',
  'CreateContainerConfigError',
  'CreateContainerError',
  'RunContainerError',
  'CrashLoopBackOff',
]);

/** Judges a pod. */
export function judgePod(pod: Pod): PodVerdict {
  const { status } = pod;
  if (status?.phase === 'Succeeded') return { kind: 'succeeded' };
  const containers = [...(status?.initContainerStatuses ?? []), ...(status?.containerStatuses ?? [])];
  if (status?.phase === 'Failed') return failed(pod, containers);
  if (status?.conditions?.some((each) => each.type === 'Ready' && each.status === 'True'))
    return { kind: 'ready' };
  const stuck = containers.find((each) => stuckReasons.has(each.state?.waiting?.reason ?? ''));
  if (stuck !== undefined) return { kind: 'stuck', reason: describeWaiting(stuck) };
  const unschedulable = status?.conditions?.find((each) => each.reason === 'Unschedulable');
  if (unschedulable !== undefined)
    return { kind: 'stuck', reason: unschedulable.message ?? 'it does not fit this node' };
  return { kind: 'pending' };
}

function failed(pod: Pod, containers: ContainerStatus[]): PodVerdict {
  const culprit = containers.find((each) => (each.state?.terminated?.exitCode ?? 0) !== 0);
  const ended = culprit?.state?.terminated;
  if (culprit === undefined || ended === undefined) {
    return { kind: 'failed', reason: pod.status?.message ?? pod.status?.reason ?? 'it failed', exitCode: 1 };
  }
  const said = ended.message === undefined || ended.message === '' ? '' : `: ${ended.message}`;
  const reason = `container "${culprit.name}" ended with exit code ${ended.exitCode} (${ended.reason ?? 'Error'})${said}`;
  return { kind: 'failed', reason, exitCode: ended.exitCode };
}

function describeWaiting(status: ContainerStatus): string {
  const waiting = status.state?.waiting;
  const message = waiting?.message ?? '';
  const last = status.lastState?.terminated;
  const before =
    last === undefined
      ? ''
      : ` (it ended with exit code ${last.exitCode}${last.message ? `: ${last.message.trim()}` : ''})`;
  return `container "${status.name}": ${waiting?.reason}${message === '' ? '' : `: ${message}`}${before}`;
}
