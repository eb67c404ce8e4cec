/** `activeDeadlineSeconds`: a pod may be active for so long, counted from its start time. */
import type { Pod, PodStatus } from '#contracts/kubernetes/types.ts';

export const deadlineReason = 'DeadlineExceeded';

/** Milliseconds since the epoch when the pod's time is over; undefined without a deadline. */
function deadlineOf(pod: Pod, status: PodStatus | undefined): number | undefined {
  const seconds = pod.spec.activeDeadlineSeconds;
  const start = status?.startTime ?? pod.status?.startTime;
  if (seconds === undefined || seconds === null || start === undefined) return undefined;
  return Date.parse(start) + seconds * 1000;
}

/** Why the pod must fail now; undefined while it may go on. */
export function deadlineVerdict(
  pod: Pod,
  status: PodStatus | undefined,
  now: number,
): { reason: string; message: string } | undefined {
  const deadline = deadlineOf(pod, status);
  if (deadline === undefined || now < deadline) return undefined;
  return { reason: deadlineReason, message: 'Pod was active on the node longer than the specified deadline' };
}
