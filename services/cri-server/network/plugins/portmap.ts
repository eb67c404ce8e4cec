/** The portmap plugin: publishes ports of the host. https://www.cni.dev/plugins/current/meta/portmap/ */
import { isIPv6 } from 'node:net';
import { z } from 'zod';
import { isSkiffError } from '#foundation/base/errors.ts';
import { parseAddress } from '#foundation/base/ip.ts';
import { type FlowFilter, forgetUdpFlows } from '#foundation/linux/conntrack.ts';
import type { CniResult } from '../cni/types.ts';
import type { PacketFilter, PublishedPort } from '../filter/index.ts';
import { commonKeys, differs, type NativePlugin, parseOwn, previousResult } from './native.ts';

const schema = z.strictObject({
  ...commonKeys,
  /** Masquerading of pods and of the host itself on their way to a published port: always on here. */
  snat: z.literal(true).optional(),
  runtimeConfig: z
    .strictObject({
      portMappings: z.array(
        z.strictObject({
          hostPort: z.number().int().min(1).max(65535),
          containerPort: z.number().int().min(1).max(65535),
          protocol: z.enum(['tcp', 'udp', 'sctp']),
          hostIP: z.string().optional(),
        }),
      ),
    })
    .optional(),
});

type PortmapConfig = z.infer<typeof schema>;

/**
 * Makes the plugin.
 *
 * @param forget makes the kernel forget UDP flows; only tests give their own.
 */
export function createPortmapPlugin(
  filter: PacketFilter,
  forget: (flows: FlowFilter) => unknown = forgetUdpFlows,
): NativePlugin {
  return {
    supports: (config) => schema.safeParse(config).success,
    async add(call) {
      const config = parseOwn(schema, call.config);
      const result = previousResult(call);
      const ports = publishedPorts(config, result);
      if (ports.length > 0) await filter.publish(ports, hostInterface(result));
      forgetFlows(ports, forget);
      return result;
    },
    async delete(call) {
      const { prevResult } = call.config;
      if (prevResult === undefined) return;
      const ports = publishedPorts(parseOwn(schema, call.config), prevResult);
      if (ports.length > 0) await filter.unpublish(ports);
      forgetFlows(ports, forget);
    },
    async check(call) {
      const ports = publishedPorts(parseOwn(schema, call.config), previousResult(call));
      if (ports.length > 0 && !(await filter.isPublished(ports)))
        throw differs(call, 'published ports are gone');
    },
  };
}

/**
 * UDP flows that began before a port was published, or while it led to a pod that is gone, would go on as they
 * began: the plugin's customary rule is to cut them off.
 */
function forgetFlows(ports: readonly PublishedPort[], forget: (flows: FlowFilter) => unknown): void {
  for (const { protocol, podIp, hostIp, hostPort } of ports) {
    if (protocol !== 'udp') continue;
    const family = isIPv6(podIp) ? 'ip6' : 'ip';
    try {
      forget({
        family,
        port: hostPort,
        ...(hostIp === undefined ? {} : { address: parseAddress(hostIp) }),
      });
    } catch (error) {
      // A kernel that tracks nothing, or tells nobody, has no such flows either.
      if (!isSkiffError(error)) throw error;
    }
  }
}

/** Each mapping for the first pod address of each family, if the host address is of that family too. */
function publishedPorts({ runtimeConfig }: PortmapConfig, result: CniResult): PublishedPort[] {
  const ips = (result.ips ?? []).map(({ address }) => address.split('/')[0] ?? '');
  const firsts = [ips.find((ip) => !isIPv6(ip)), ips.find(isIPv6)].filter((ip) => ip !== undefined);
  return (runtimeConfig?.portMappings ?? []).flatMap(({ hostPort, containerPort, protocol, hostIP }) =>
    firsts
      .filter((podIp) => hostIP === undefined || isIPv6(hostIP) === isIPv6(podIp))
      .map((podIp) => ({ hostIp: anyAddress(hostIP), hostPort, protocol, podIp, podPort: containerPort })),
  );
}

/** 0.0.0.0 and :: stand for every address. */
function anyAddress(hostIp: string | undefined): string | undefined {
  return hostIp === '0.0.0.0' || hostIp === '::' ? undefined : hostIp;
}

/** The host's interface towards the pod: the bridge, or the veth where there is none. */
function hostInterface(result: CniResult): string {
  return result.interfaces?.find(({ sandbox }) => !sandbox)?.name ?? '';
}
