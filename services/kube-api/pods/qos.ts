/** The quality-of-service class that follows from a pod's requests and limits. */
import { compareQuantities, quantity } from '#contracts/kubernetes/quantity.ts';
import type { Pod, ResourceRequirements } from '#contracts/kubernetes/types.ts';

const counted = ['cpu', 'memory'] as const;

/** Guaranteed, Burstable or BestEffort, as the original computes it; pod-level resources replace the containers'. */
export function qosClass({ spec }: Pod): string {
  const containers = [...(spec.containers ?? []), ...(spec.initContainers ?? [])];
  const all: (ResourceRequirements | undefined)[] =
    spec.resources === undefined ? containers.map((each) => each.resources) : [spec.resources];
  if (all.every((each) => !asksFor(each))) return 'BestEffort';
  return all.every(isGuaranteed) ? 'Guaranteed' : 'Burstable';
}

function amount(text: string | undefined): bigint {
  return text === undefined ? 0n : quantity(text).nanos;
}

function asksFor(resources: ResourceRequirements | undefined): boolean {
  return counted.some(
    (name) => amount(resources?.requests?.[name]) > 0n || amount(resources?.limits?.[name]) > 0n,
  );
}

function isGuaranteed(resources: ResourceRequirements | undefined): boolean {
  return counted.every((name) => {
    const limit = resources?.limits?.[name];
    const request = resources?.requests?.[name] ?? limit;
    if (limit === undefined || request === undefined || amount(limit) === 0n) return false;
    return compareQuantities(quantity(limit), quantity(request)) === 0;
  });
}
