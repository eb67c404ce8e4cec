/** What the runtime tells CNI plugins of a pod: CNI_ARGS and the capabilities of the CNI conventions. */
import type { PodSandboxConfig, PortMapping } from '#contracts/cri/runtime_pb.ts';
import { Protocol } from '#contracts/cri/runtime_pb.ts';
import { SkiffError } from '#foundation/base/errors.ts';
import { parseAddress } from '#foundation/base/ip.ts';
import { parseQuantity } from './quantity.ts';

const bandwidthAnnotations = {
  ingress: 'kubernetes.io/ingress-bandwidth',
  egress: 'kubernetes.io/egress-bandwidth',
} as const;

/** Annotations that ask for fixed addresses and a MAC address, for plugins with these capabilities. */
const ipsAnnotation = 'skiff.dev/ips';
const macAnnotation = 'skiff.dev/mac';

/** A port mapping as the portmap plugin takes it. */
export interface CniPortMapping {
  hostPort: number;
  containerPort: number;
  protocol: 'tcp' | 'udp' | 'sctp';
  hostIP?: string;
}

/** CNI_ARGS as every Kubernetes runtime sends them. */
export function argsOf(id: string, config: PodSandboxConfig): string {
  const pairs = {
    IgnoreUnknown: '1',
    K8S_POD_NAMESPACE: config.metadata?.namespace ?? '',
    K8S_POD_NAME: config.metadata?.name ?? '',
    K8S_POD_INFRA_CONTAINER_ID: id,
    K8S_POD_UID: config.metadata?.uid ?? '',
  };
  return Object.entries(pairs)
    .map(([key, value]) => `${key}=${value.replaceAll(';', '')}`)
    .join(';');
}

/**
 * The capabilities of a pod, by name; a plugin gets those it announces.
 *
 * @throws SkiffError INVALID_ARGUMENT for ports, addresses and rates that cannot be.
 */
export function capabilitiesOf(config: PodSandboxConfig): Record<string, unknown> {
  const capabilities: Record<string, unknown> = { 'io.kubernetes.cri.pod-annotations': config.annotations };
  const portMappings = config.portMappings.filter(({ hostPort }) => hostPort > 0).map(portMapping);
  if (portMappings.length > 0) capabilities.portMappings = portMappings;
  const bandwidth = bandwidthOf(config.annotations);
  if (bandwidth !== undefined) capabilities.bandwidth = bandwidth;
  const dns = config.dnsConfig;
  if (dns !== undefined)
    capabilities.dns = { servers: dns.servers, searches: dns.searches, options: dns.options };
  const cgroupPath = config.linux?.cgroupParent;
  if (cgroupPath) capabilities.cgroupPath = cgroupPath;
  const ips = config.annotations[ipsAnnotation];
  if (ips) capabilities.ips = ips.split(',').map((ip) => ip.trim());
  const mac = config.annotations[macAnnotation];
  if (mac) capabilities.mac = mac;
  return capabilities;
}

function portMapping(mapping: PortMapping): CniPortMapping {
  const { hostPort, containerPort, hostIp } = mapping;
  for (const port of [hostPort, containerPort])
    if (port < 1 || port > 65535)
      throw new SkiffError(
        'INVALID_ARGUMENT',
        `Port mapping ${hostPort}:${containerPort}: ${port} is not a port`,
      );
  if (hostIp !== '') parseAddress(hostIp);
  const protocol = protocolNames[mapping.protocol];
  if (protocol === undefined)
    throw new SkiffError(
      'INVALID_ARGUMENT',
      `Port mapping ${hostPort}: unknown protocol ${mapping.protocol}`,
    );
  return { hostPort, containerPort, protocol, ...(hostIp === '' ? {} : { hostIP: hostIp }) };
}

const protocolNames: Record<number, CniPortMapping['protocol'] | undefined> = {
  [Protocol.TCP]: 'tcp',
  [Protocol.UDP]: 'udp',
  [Protocol.SCTP]: 'sctp',
};

/** The bandwidth plugin's rates in bits a second; bursts as large as an int32 allows, as the kubelet had them. */
function bandwidthOf(annotations: Record<string, string>): Record<string, number> | undefined {
  const rates: Record<string, number> = {};
  for (const [direction, annotation] of Object.entries(bandwidthAnnotations)) {
    const text = annotations[annotation];
    if (text === undefined) continue;
    const rate = parseQuantity(text);
    if (rate === undefined || rate < 1000 || rate > 1e15)
      throw new SkiffError(
        'INVALID_ARGUMENT',
        `Annotation ${annotation}: "${text}" is not a rate between 1k and 1P bits a second`,
      );
    rates[`${direction}Rate`] = Math.ceil(rate);
    rates[`${direction}Burst`] = 2 ** 31 - 1;
  }
  return Object.keys(rates).length > 0 ? rates : undefined;
}
