/** The quality-of-service class of a pod: cpu and memory of containers and init containers. */

import { parseQuantity } from '#contracts/kubernetes/quantity.ts';
import type { Pod, ResourceRequirements } from '#contracts/kubernetes/types.ts';
import { initContainers } from '../pods/containers.ts';

export type QosClass = 'Guaranteed' | 'Burstable' | 'BestEffort';

const counted = ['cpu', 'memory'];

/** Pod-level resources replace those of the containers. */
export function qosClassOf(pod: Pod): QosClass {
  const own = pod.spec.resources;
  const all =
    own === undefined
      ? [...pod.spec.containers, ...initContainers(pod)].map((each) => each.resources)
      : [own];
  if (all.every((resources) => isEmpty(resources?.requests) && isEmpty(resources?.limits)))
    return 'BestEffort';
  return all.every(isGuaranteed) ? 'Guaranteed' : 'Burstable';
}

function isEmpty(list: Record<string, string> | undefined): boolean {
  return counted.every((name) => list?.[name] === undefined || parseQuantity(list[name]) === 0);
}

/** Limits of both, and requests (where given) that equal them. */
function isGuaranteed(resources: ResourceRequirements | undefined): boolean {
  return counted.every((name) => {
    const limit = resources?.limits?.[name];
    const request = resources?.requests?.[name] ?? limit;
    if (limit === undefined || request === undefined || parseQuantity(limit) === 0) return false;
    return parseQuantity(limit) === parseQuantity(request);
  });
}
