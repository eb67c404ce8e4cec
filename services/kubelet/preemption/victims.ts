/**
 * Which pods must go so that a critical one gets what it lacks (kubernetes.io/docs: Guaranteed Scheduling For Critical
 * Add-On Pods). As few as can be: of the best-effort ones first, guaranteed ones only if all others are not enough; among
 * equals the one whose requests come closest to what is missing.
 */
import type { Pod } from '#contracts/kubernetes/types.ts';
import { SkiffError } from '#foundation/base/errors.ts';
import { podRequest } from '../resources/linux-resources.ts';
import { isCritical, type QosClass, qosOf } from '../resources/qos.ts';

/** How much of a resource is missing: milliCPU, bytes, pieces. */
export interface Shortage {
  resource: string;
  amount: number;
}

/**
 * Chooses them, those of lower classes first.
 *
 * @throws SkiffError RESOURCE_EXHAUSTED if all that may go would not be enough.
 */
export function chooseVictims(pod: Pod, others: readonly Pod[], shortages: readonly Shortage[]): Pod[] {
  const mayGo = others.filter((other) => mayPreempt(pod, other));
  const of = (qos: QosClass) => mayGo.filter((each) => qosOf(each) === qos);
  const [bestEffort, burstable, guaranteed] = [of('BestEffort'), of('Burstable'), of('Guaranteed')];
  refuse(missingAfter(shortages, mayGo));
  const last = closest(guaranteed, missingAfter(shortages, [...bestEffort, ...burstable]));
  const second = closest(burstable, missingAfter(shortages, [...bestEffort, ...last]));
  const first = closest(bestEffort, missingAfter(shortages, [...second, ...last]));
  return [...first, ...second, ...last];
}

function mayPreempt(pod: Pod, other: Pod): boolean {
  if (isCritical(pod) && !isCritical(other)) return true;
  const [own, its] = [pod.spec.priority, other.spec.priority];
  return own !== undefined && its !== undefined && own > its;
}

/** What one more pod on the node takes is one place. */
function requestOf(pod: Pod, resource: string): number {
  return resource === 'pods' ? 1 : podRequest(pod, resource);
}

/** What would still be missing if these pods went. */
function missingAfter(shortages: readonly Shortage[], gone: readonly Pod[]): Shortage[] {
  return shortages
    .map(({ resource, amount }) => ({
      resource,
      amount: gone.reduce((left, pod) => left - requestOf(pod, resource), amount),
    }))
    .filter(({ amount }) => amount > 0);
}

/** Takes the pod that comes closest to what is missing, until nothing is. */
function closest(pods: readonly Pod[], shortages: readonly Shortage[]): Pod[] {
  const left = [...pods];
  const taken: Pod[] = [];
  for (let missing = [...shortages]; missing.length > 0; ) {
    const [best] = left.toSorted((a, b) => distance(missing, a) - distance(missing, b) || bySize(a, b));
    if (best === undefined) refuse(missing);
    else {
      taken.push(best);
      left.splice(left.indexOf(best), 1);
      missing = missingAfter(missing, [best]);
    }
  }
  return taken;
}

/** The squares of the fractions that would still be missing, so that each resource counts the same. */
function distance(missing: readonly Shortage[], pod: Pod): number {
  const fractions = missing.map(({ resource, amount }) =>
    Math.max(0, (amount - requestOf(pod, resource)) / amount),
  );
  return fractions.reduce((sum, fraction) => sum + fraction ** 2, 0);
}

function bySize(a: Pod, b: Pod): number {
  return podRequest(a, 'memory') - podRequest(b, 'memory') || podRequest(a, 'cpu') - podRequest(b, 'cpu');
}

function refuse(missing: readonly Shortage[]): void {
  if (missing.length === 0) return;
  const list = missing.map(({ resource, amount }) => `(res: ${resource}, q: ${amount}), `).join('');
  throw new SkiffError(
    'RESOURCE_EXHAUSTED',
    `preemption: error finding a set of pods to preempt: no set of running pods found to reclaim resources: [${list}]`,
  );
}
