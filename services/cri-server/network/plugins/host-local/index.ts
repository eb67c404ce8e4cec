/** The host-local plugin's work: gives each container one address of every range set, round robin. */

import { SkiffError } from '#foundation/base/errors.ts';
import { addressNumber, contains, numberAddress } from '#foundation/base/ip.ts';
import type { CniIp, CniRoute, PluginCall } from '../../cni/types.ts';
import { type HostLocalConfig, leaseDirectory, type Range, rangeSets } from './config.ts';
import { collectLeases, holdsLease, type Leases, releaseLeases, withLeases } from './leases.ts';

export { type HostLocalConfig, hostLocalSchema } from './config.ts';

/** What an IPAM plugin returns. */
export interface Allocation {
  ips: (CniIp & { gateway: string })[];
  routes: CniRoute[];
}

/**
 * Takes one address of every range set, all or none.
 *
 * @param wanted addresses that the pod asks for; each must lie in a set of its own.
 * @throws SkiffError RESOURCE_EXHAUSTED when a set has none left, INVALID_ARGUMENT for unfit wishes.
 */
export async function allocate(
  call: PluginCall,
  ipam: HostLocalConfig,
  wanted: readonly string[],
  signal: AbortSignal,
): Promise<Allocation> {
  const sets = rangeSets(ipam);
  const left = new Set(wanted.map((address) => address.split('/')[0] ?? ''));
  const directory = leaseDirectory(ipam, call.config.name);
  const ips = await withLeases(directory, call, signal, (leases) => {
    const taken: Allocation['ips'] = [];
    try {
      for (const [set, ranges] of sets.entries()) {
        const wish = [...left].find((address) => ranges.some((range) => contains(range.network, address)));
        if (wish !== undefined) left.delete(wish);
        taken.push(wish === undefined ? takeNext(leases, ranges, set) : takeWish(leases, ranges, set, wish));
      }
      if (left.size > 0)
        throw new SkiffError(
          'INVALID_ARGUMENT',
          `host-local: no range holds the address ${[...left].join(', ')}`,
        );
      return taken;
    } catch (error) {
      for (const { address } of taken) leases.free(address.split('/')[0] ?? '');
      throw error;
    }
  });
  return { ips, routes: ipam.routes ?? [] };
}

/** Gives the addresses back. With the result of ADD only its addresses are looked at. */
export async function release(call: PluginCall, ipam: HostLocalConfig, signal: AbortSignal): Promise<void> {
  const known = call.config.prevResult?.ips?.map(({ address }) => address.split('/')[0] ?? '');
  await releaseLeases(leaseDirectory(ipam, call.config.name), call, known, signal);
}

/** Whether the container still holds an address. */
export function holds(call: PluginCall, ipam: HostLocalConfig, address: string): boolean {
  return holdsLease(leaseDirectory(ipam, call.config.name), call, address);
}

/** Gives back what no valid attachment holds. */
export async function collect(call: PluginCall, ipam: HostLocalConfig, signal: AbortSignal): Promise<void> {
  const valid = call.config['cni.dev/valid-attachments'] as { containerID: string; ifname: string }[];
  const holders = valid.map(({ containerID, ifname }) => ({ containerId: containerID, ifName: ifname }));
  await collectLeases(leaseDirectory(ipam, call.config.name), holders, signal);
}

function takeWish(
  leases: Leases,
  ranges: readonly Range[],
  set: number,
  wish: string,
): Allocation['ips'][number] {
  const range = ranges.find(({ network }) => contains(network, wish));
  const number = addressNumber(wish);
  if (range === undefined || number < range.first || number > range.last || wish === range.gateway)
    throw new SkiffError('INVALID_ARGUMENT', `host-local: the address ${wish} is not one to give out`);
  if (!leases.take(wish, set))
    throw new SkiffError('RESOURCE_EXHAUSTED', `host-local: the address ${wish} is taken`);
  return inRange(range, wish);
}

/** Begins behind the address that was taken last, so that one just given back rests as long as can be. */
function takeNext(leases: Leases, ranges: readonly Range[], set: number): Allocation['ips'][number] {
  const last = leases.last(set);
  const at = last === undefined ? -1 : ranges.findIndex((range) => holdsNumber(range, last));
  const behind = at < 0 || last === undefined ? undefined : addressNumber(last);
  for (const { range, from, to } of walk(ranges, Math.max(at, 0), behind)) {
    for (let number = from; number <= to; number += 1n) {
      const address = numberAddress(number, range.network.family);
      if (address !== range.gateway && leases.take(address, set)) return inRange(range, address);
    }
  }
  const names = ranges.map(({ first, last: end, network }) =>
    [first, end].map((number) => numberAddress(number, network.family)).join('-'),
  );
  throw new SkiffError('RESOURCE_EXHAUSTED', `host-local: no address is left in ${names.join(', ')}`);
}

/** The rest of the range behind the last address, the other ranges in turn, then the beginning of the first. */
function* walk(ranges: readonly Range[], start: number, behind: bigint | undefined) {
  for (let step = 0; step <= ranges.length; step += 1) {
    const range = ranges[(start + step) % ranges.length];
    if (range === undefined) return;
    const again = step === ranges.length;
    if (again && behind === undefined) return;
    const from = step === 0 && behind !== undefined ? behind + 1n : range.first;
    yield { range, from, to: again && behind !== undefined ? behind : range.last };
  }
}

function holdsNumber(range: Range, address: string): boolean {
  return (
    contains(range.network, address) &&
    addressNumber(address) >= range.first &&
    addressNumber(address) <= range.last
  );
}

function inRange({ network, gateway }: Range, address: string): Allocation['ips'][number] {
  return { address: `${address}/${network.prefix}`, gateway };
}
