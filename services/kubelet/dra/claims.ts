/** The resource claims of a pod: which they are, and what was allocated for them (resource.k8s.io/v1). */
import type { Pod, PodResourceClaim } from '#contracts/kubernetes/types.ts';
import { SkiffError } from '#foundation/base/errors.ts';
import type { KubeletApi } from '../ports.ts';

/** A ResourceClaim, as far as the kubelet reads it. */
export interface ResourceClaim {
  metadata: {
    name: string;
    namespace?: string;
    uid?: string;
    ownerReferences?: { uid: string; controller?: boolean }[];
  };
  status?: {
    allocation?: { devices?: { results?: { driver: string; request?: string }[] } };
    reservedFor?: { uid?: string }[];
  };
}

/** A claim that is allocated and reserved for a pod. */
export interface AllocatedClaim {
  namespace: string;
  name: string;
  uid: string;
  /** The drivers that have devices of it. */
  drivers: string[];
}

/**
 * The name of the ResourceClaim behind an entry of `spec.resourceClaims`; undefined if none is needed.
 *
 * @throws SkiffError while the control plane has not made it from its template.
 */
export function claimName(pod: Pod, entry: PodResourceClaim): string | undefined {
  if (entry.resourceClaimName !== undefined) return entry.resourceClaimName;
  const made = pod.status?.resourceClaimStatuses?.find(({ name }) => name === entry.name);
  if (made !== undefined) return made.resourceClaimName;
  throw new SkiffError(
    'UNAVAILABLE',
    `pod "${pod.metadata.namespace ?? 'default'}/${pod.metadata.name}", claim "${entry.name}": resource claim has not been created yet`,
  );
}

/** Reads the claims of a pod. @throws SkiffError for one that is missing, another's, not allocated or not reserved. */
export async function readClaims(api: Pick<KubeletApi, 'request'>, pod: Pod): Promise<AllocatedClaim[]> {
  const claims: AllocatedClaim[] = [];
  for (const entry of pod.spec.resourceClaims ?? []) {
    const name = claimName(pod, entry);
    if (name === undefined) continue;
    const namespace = pod.metadata.namespace ?? 'default';
    const path = `/apis/resource.k8s.io/v1/namespaces/${namespace}/resourceclaims/${name}`;
    const claim = await api.request<ResourceClaim>({ method: 'GET', path, timeoutMs: 30_000 });
    check(pod, entry, claim);
    const results = claim.status?.allocation?.devices?.results ?? [];
    const drivers = [...new Set(results.map(({ driver }) => driver))];
    claims.push({ namespace, name, uid: claim.metadata.uid ?? '', drivers });
  }
  return claims;
}

function check(pod: Pod, entry: PodResourceClaim, { metadata, status }: ResourceClaim): void {
  const refuse = (why: string) => {
    throw new SkiffError('FAILED_PRECONDITION', why);
  };
  const owner = metadata.ownerReferences?.find(({ controller }) => controller === true);
  if (entry.resourceClaimName === undefined && owner?.uid !== pod.metadata.uid)
    refuse(`ResourceClaim ${metadata.name} was not created for pod ${pod.metadata.name} (pod is not owner)`);
  if (status?.allocation === undefined) refuse(`ResourceClaim ${metadata.name} is not allocated`);
  if (!(status?.reservedFor ?? []).some(({ uid }) => uid === pod.metadata.uid))
    refuse(
      `pod ${pod.metadata.name} (${pod.metadata.uid}) is not allowed to use ResourceClaim ${metadata.name} (${metadata.uid})`,
    );
}
