/** Reads a pod's addresses out of a CNI result. */
import type { CniResult } from './cni/types.ts';

/** The addresses that are inside the sandbox, in the result's order: the first is the pod's primary one. */
export function podIps(result: CniResult): string[] {
  const inside = (index: number | undefined) =>
    index === undefined || result.interfaces === undefined || Boolean(result.interfaces[index]?.sandbox);
  return (result.ips ?? []).filter((ip) => inside(ip.interface)).map((ip) => ip.address.split('/')[0] ?? '');
}
