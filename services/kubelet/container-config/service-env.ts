/**
 * Environment variables that tell a container of the services around it, in the form Docker's links had:
 * `REDIS_SERVICE_HOST`, `REDIS_PORT_6379_TCP_ADDR` and so on.
 */
import type { Service } from '#contracts/kubernetes/types.ts';

/** The API server's own service, which every pod is told of whatever its namespace. */
const master = { namespace: 'default', name: 'kubernetes' };

/**
 * The variables for a pod in `namespace`.
 *
 * @param links `spec.enableServiceLinks`: whether the services of the pod's own namespace count.
 */
export function serviceVariables(
  services: readonly Service[],
  namespace: string,
  links: boolean,
): Map<string, string> {
  const chosen = new Map<string, Service>();
  for (const service of services) {
    if (!hasAddress(service)) continue;
    const { name } = service.metadata;
    const own = links && service.metadata.namespace === namespace;
    const isMaster = service.metadata.namespace === master.namespace && name === master.name;
    // A service of the pod's own namespace hides the API server's of the same name.
    if (own || (isMaster && !chosen.has(name))) chosen.set(name, service);
  }
  const variables = new Map<string, string>();
  for (const service of chosen.values())
    for (const [key, value] of variablesOf(service)) variables.set(key, value);
  return variables;
}

function hasAddress(service: Service): boolean {
  const ip = service.spec?.clusterIP;
  return ip !== undefined && ip !== '' && ip !== 'None';
}

function variablesOf(service: Service): [string, string][] {
  const prefix = variableName(service.metadata.name);
  const ip = service.spec?.clusterIP ?? '';
  const ports = service.spec?.ports ?? [];
  const result: [string, string][] = [[`${prefix}_SERVICE_HOST`, ip]];
  const [first] = ports;
  if (first !== undefined) result.push([`${prefix}_SERVICE_PORT`, String(first.port)]);
  for (const port of ports)
    if (port.name !== undefined && port.name !== '')
      result.push([`${prefix}_SERVICE_PORT_${variableName(port.name)}`, String(port.port)]);
  for (const [index, port] of ports.entries()) {
    const protocol = port.protocol ?? 'TCP';
    const url = `${protocol.toLowerCase()}://${hostPort(ip, port.port)}`;
    const portPrefix = `${prefix}_PORT_${port.port}_${protocol.toUpperCase()}`;
    if (index === 0) result.push([`${prefix}_PORT`, url]);
    result.push(
      [portPrefix, url],
      [`${portPrefix}_PROTO`, protocol.toLowerCase()],
      [`${portPrefix}_PORT`, String(port.port)],
      [`${portPrefix}_ADDR`, ip],
    );
  }
  return result;
}

function variableName(name: string): string {
  return name.toUpperCase().replaceAll('-', '_');
}

function hostPort(ip: string, port: number): string {
  return ip.includes(':') ? `[${ip}]:${port}` : `${ip}:${port}`;
}
