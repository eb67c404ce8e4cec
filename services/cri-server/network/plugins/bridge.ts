/** The bridge plugin: https://www.cni.dev/plugins/current/main/bridge/ */
import { randomBytes } from 'node:crypto';
import { z } from 'zod';
import { contains, numberAddress, parseNetwork } from '#foundation/base/ip.ts';
import { listAddresses } from '#foundation/linux/addresses.ts';
import { findLink } from '#foundation/linux/links.ts';
import { inNamespaces } from '#foundation/linux/namespaces.ts';
import { openNetlink } from '#foundation/linux/netlink.ts';
import { type CniResult, type PluginCall, resultIn } from '../cni/types.ts';
import type { PacketFilter } from '../filter/index.ts';
import { type BridgePort, ensureBridge, ensureGateways } from './bridge-host.ts';
import { type Allocation, allocate, collect, holds, hostLocalSchema, release } from './host-local/index.ts';
import { commonKeys, differs, type NativePlugin, parseOwn } from './native.ts';
import { connectPod } from './pod-interface.ts';

const schema = z.strictObject({
  ...commonKeys,
  bridge: z.string().default('cni0'),
  isGateway: z.boolean().default(false),
  isDefaultGateway: z.boolean().default(false),
  ipMasq: z.boolean().default(false),
  hairpinMode: z.boolean().default(false),
  mtu: z.number().int().nonnegative().default(0),
  ipam: hostLocalSchema,
  dns: z.object({}).loose().optional(),
  runtimeConfig: z
    .strictObject({ mac: z.string().optional(), ips: z.array(z.string()).optional() })
    .optional(),
});

/** A parsed config. */
export type BridgeConfig = z.infer<typeof schema>;

/** Makes the plugin. @param filter for `ipMasq`. */
export function createBridgePlugin(filter: PacketFilter): NativePlugin {
  return {
    supports: (config) => schema.safeParse(config).success,
    async add(call, signal) {
      const config = parseOwn(schema, call.config);
      const bridge = ensureBridge(config);
      const allocation = await allocate(call, config.ipam, config.runtimeConfig?.ips ?? [], signal);
      try {
        return await connect(call, config, bridge, allocation, filter);
      } catch (error) {
        await release(call, config.ipam, AbortSignal.timeout(5000));
        throw error;
      }
    },
    async delete(call, signal) {
      const config = parseOwn(schema, call.config);
      // The interface ends with its namespace, which goes next; deleting it here would wait 30 ms for the kernel.
      await release(call, config.ipam, signal);
    },
    check: async (call) => check(call, parseOwn(schema, call.config)),
    collect: async (call) => collect(call, parseOwn(schema, call.config).ipam, AbortSignal.timeout(10_000)),
  };
}

async function connect(
  call: PluginCall,
  config: BridgeConfig,
  bridge: BridgePort,
  { ips, routes }: Allocation,
  filter: PacketFilter,
): Promise<CniResult> {
  const all = config.isDefaultGateway ? [...routes, ...defaultRoutes(ips)] : routes;
  const host = `veth${randomBytes(4).toString('hex')}`;
  const pod = connectPod({
    netns: call.netns,
    ifName: call.ifName,
    host: { name: host, master: bridge.index, hairpin: config.hairpinMode },
    mtu: config.mtu,
    mac: config.runtimeConfig?.mac,
    ips,
    routes: all,
  });
  if (config.isGateway || config.isDefaultGateway) ensureGateways(bridge, ips);
  if (config.ipMasq) for (const ip of ips) await filter.masquerade(networkOf(ip.address));
  return resultIn(config.cniVersion, {
    cniVersion: config.cniVersion,
    interfaces: [
      { name: config.bridge, mac: bridge.mac },
      { name: host, mac: pod.hostMac },
      { name: call.ifName, mac: pod.mac, sandbox: call.netns },
    ],
    ips: ips.map((ip) => ({ interface: 2, ...ip })),
    ...(all.length > 0 ? { routes: all } : {}),
    dns: config.dns ?? {},
  });
}

/** `10.88.3.7/24` is of the network `10.88.3.0/24`. */
function networkOf(address: string): string {
  const { base, prefix, family } = parseNetwork(address);
  return `${numberAddress(base, family)}/${prefix}`;
}

function defaultRoutes(ips: Allocation['ips']) {
  return ips.map(({ address, gateway }) => ({
    dst: address.includes(':') ? '::/0' : '0.0.0.0/0',
    gw: gateway,
  }));
}

async function check(call: PluginCall, config: BridgeConfig): Promise<void> {
  const ips = call.config.prevResult?.ips ?? [];
  using socket = openNetlink();
  const bridge = findLink(socket, config.bridge);
  if (bridge === undefined) throw differs(call, `the bridge ${config.bridge} is gone`);
  using inside = inNamespaces({ net: call.netns }, () => openNetlink());
  const link = findLink(inside, call.ifName);
  if (link === undefined) throw differs(call, 'the interface is gone');
  if (findLink(socket, link.peer)?.master !== bridge.index)
    throw differs(call, `its host end is not on the bridge ${config.bridge}`);
  const present = listAddresses(inside, link.index);
  for (const { address } of ips) {
    const plain = address.split('/')[0] ?? '';
    if (
      !present.some((entry) =>
        contains(parseNetwork(`${entry.address}/${entry.address.includes(':') ? 128 : 32}`), plain),
      )
    )
      throw differs(call, `the address ${address} is gone`);
    if (!holds(call, config.ipam, plain)) throw differs(call, `the lease of ${address} is gone`);
  }
}
