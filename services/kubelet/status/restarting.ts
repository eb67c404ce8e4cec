/** The condition that tells that a rule asked for all containers of a pod to restart (KEP-5532). */
import type { Pod, PodCondition, PodStatus } from '#contracts/kubernetes/types.ts';
import { allContainers } from '../pods/containers.ts';
import { newestOf, type RuntimePodStatus } from '../runtime-manager/model.ts';
import { verdictOf } from '../runtime-manager/restart-policy.ts';

const type = 'AllContainersRestarting';

/** True while the containers are being removed, False afterwards; absent from pods that never did so. */
export function allRestarting(
  pod: Pod,
  runtime: RuntimePodStatus,
  before: PodStatus | undefined,
): Omit<PodCondition, 'lastTransitionTime'>[] {
  const now = allContainers(pod).some((container) => {
    const record = newestOf(runtime, container.name);
    return record?.state === 'exited' && verdictOf(pod, container, record) === 'restart-all';
  });
  if (now) {
    return [
      { type, status: 'True', reason: 'ContainerExited', message: 'All containers of the pod restart' },
    ];
  }
  return before?.conditions?.some((condition) => condition.type === type) ? [{ type, status: 'False' }] : [];
}
