/** The addresses at which a person can reach a pod's ports. */
import type { Pod } from '#contracts/kubernetes/types.ts';

/** Container ports that speak HTTP by name or by custom. */
const httpPorts = new Set([80, 3000, 5000, 8000, 8080, 8888, 9090]);

/** URLs (or `host:port` where HTTP is unlikely) of the ports that the host publishes. */
export function publishedAddresses(pod: Pod): string[] {
  const ports = pod.spec?.containers.flatMap((each) => each.ports ?? []) ?? [];
  return ports
    .filter((each) => each.hostPort !== undefined && (each.protocol ?? 'TCP') === 'TCP')
    .map((each) => {
      const host = each.hostIP === undefined || each.hostIP === '0.0.0.0' ? 'localhost' : each.hostIP;
      const authority = `${host.includes(':') ? `[${host}]` : host}:${each.hostPort}`;
      if (each.name?.includes('https') || each.containerPort === 443) return `https://${authority}/`;
      const http =
        each.name?.includes('http') || each.name?.includes('web') || httpPorts.has(each.containerPort);
      return http ? `http://${authority}/` : authority;
    });
}
