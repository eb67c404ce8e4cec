/** Configuration of host-local address management: https://www.cni.dev/plugins/current/ipam/host-local/ */
import { z } from 'zod';
import { SkiffError } from '#foundation/base/errors.ts';
import {
  addressNumber,
  contains,
  lastOf,
  type Network,
  numberAddress,
  parseNetwork,
} from '#foundation/base/ip.ts';

const rangeKeys = {
  subnet: z.string(),
  rangeStart: z.string().optional(),
  rangeEnd: z.string().optional(),
  gateway: z.string().optional(),
};

/** The `ipam` object; a key that is not here sends the whole config to the executed plugin. */
export const hostLocalSchema = z.strictObject({
  type: z.literal('host-local'),
  // The older form has one range at the top.
  ...rangeKeys,
  subnet: z.string().optional(),
  ranges: z.array(z.array(z.strictObject(rangeKeys)).min(1)).optional(),
  routes: z.array(z.strictObject({ dst: z.string(), gw: z.string().optional() })).optional(),
  dataDir: z.string().optional(),
});

/** A parsed `ipam` object. */
export type HostLocalConfig = z.infer<typeof hostLocalSchema>;

/** Where the executed plugin keeps its leases. */
const defaultDataDir = '/var/lib/cni/networks';

/** Addresses to give out. */
export interface Range {
  network: Network;
  first: bigint;
  last: bigint;
  /** Never given out. */
  gateway: string;
}

/** Each set gives one address to each pod, from the first of its ranges that has one. */
export function rangeSets(config: HostLocalConfig): Range[][] {
  const { subnet, rangeStart, rangeEnd, gateway } = config;
  const single = subnet === undefined ? [] : [[{ subnet, rangeStart, rangeEnd, gateway }]];
  return [...single, ...(config.ranges ?? [])].map((set) => set.map(toRange));
}

/** The directory of a network's leases. */
export function leaseDirectory(config: HostLocalConfig, network: string): string {
  return `${config.dataDir || defaultDataDir}/${network}`;
}

function toRange(range: { subnet: string; rangeStart?: string; rangeEnd?: string; gateway?: string }): Range {
  const network = parseNetwork(range.subnet);
  const bits = network.family === 4 ? 32 : 128;
  if (network.prefix > bits - 2)
    throw new SkiffError(
      'INVALID_ARGUMENT',
      `host-local: subnet ${range.subnet} is too small to give addresses`,
    );
  const inside = (what: string, address: string): string => {
    if (contains(network, address)) return address;
    throw new SkiffError(
      'INVALID_ARGUMENT',
      `host-local: ${what} ${address} is not in subnet ${range.subnet}`,
    );
  };
  const end = lastOf(network) - (network.family === 4 ? 1n : 0n); // Without IPv4's broadcast address.
  return {
    network,
    first: range.rangeStart ? addressNumber(inside('rangeStart', range.rangeStart)) : network.base + 1n,
    last: range.rangeEnd ? addressNumber(inside('rangeEnd', range.rangeEnd)) : end,
    gateway: range.gateway || numberAddress(network.base + 1n, network.family),
  };
}
