/** The hostname and domain a pod sees (core/v1 PodSpec.hostname, subdomain, setHostnameAsFQDN, hostnameOverride). */
import type { Pod } from '#contracts/kubernetes/types.ts';
import { SkiffError } from '#foundation/base/errors.ts';

/** Characters the kernel keeps of a hostname (sethostname(2): HOST_NAME_MAX less one for DNS labels). */
const maxLabel = 63;
const maxKernelName = 64;

/** A pod's names. */
export interface PodNames {
  hostname: string;
  /** `sub.namespace.svc.cluster.local`; empty without a subdomain. */
  domain: string;
  /** What `uname -n` says in the pod. */
  kernelName: string;
}

/**
 * The names of a pod.
 *
 * @param clusterDomain empty if the kubelet was told none.
 * @throws SkiffError INVALID_ARGUMENT if setHostnameAsFQDN asks for a name longer than 64 characters.
 */
export function podNames(pod: Pod, clusterDomain: string): PodNames {
  const override = pod.spec.hostnameOverride;
  if (override !== undefined && override !== '')
    return { hostname: override, domain: '', kernelName: override };
  const hostname = shortened(pod.spec.hostname || pod.metadata.name);
  const { subdomain } = pod.spec;
  const domain =
    subdomain === undefined || subdomain === ''
      ? ''
      : `${subdomain}.${pod.metadata.namespace ?? 'default'}.svc.${clusterDomain}`;
  const qualified = pod.spec.setHostnameAsFQDN === true && domain !== '' ? `${hostname}.${domain}` : hostname;
  if (qualified.length > maxKernelName)
    throw new SkiffError(
      'INVALID_ARGUMENT',
      `failed to construct FQDN from pod hostname and cluster domain, FQDN ${qualified} is too long (${maxKernelName} characters is the max, ${qualified.length} characters requested)`,
    );
  return { hostname, domain, kernelName: qualified };
}

function shortened(name: string): string {
  return name.slice(0, maxLabel).replace(/[-.]+$/, '');
}
