/** The host's side of the bridge plugin: the bridge itself and the gateway addresses on it. */
import { writeFileSync } from 'node:fs';
import { isSkiffError, SkiffError } from '#foundation/base/errors.ts';
import { contains, lastOf, numberAddress, parseNetwork } from '#foundation/base/ip.ts';
import { addAddress, listAddresses } from '#foundation/linux/addresses.ts';
import { addBridge, findLink, getLink, type Link, setLink } from '#foundation/linux/links.ts';
import { type NetlinkSocket, openNetlink } from '#foundation/linux/netlink.ts';

/** The bridge as far as pods need it. */
export interface BridgePort {
  index: number;
  mac: string;
}

/** Makes the bridge if it is not there, and brings it up. @throws SkiffError if the name is another interface's. */
export function ensureBridge({ bridge: name, mtu }: { bridge: string; mtu: number }): BridgePort {
  using socket = openNetlink();
  const link = findLink(socket, name) ?? makeBridge(socket, name, mtu);
  if (link.kind !== 'bridge')
    throw new SkiffError(
      'FAILED_PRECONDITION',
      `Interface "${name}" is no bridge; choose another bridge name`,
    );
  if (!link.up) setLink(socket, link.index, { up: true });
  return { index: link.index, mac: link.mac };
}

function makeBridge(socket: NetlinkSocket, name: string, mtu: number): Link {
  try {
    addBridge(socket, { name, mtu });
  } catch (error) {
    // Another process was quicker.
    if (!isSkiffError(error) || error.errno !== 'EEXIST') throw error;
  }
  const link = getLink(socket, name);
  // Pods' routes are the runtime's business; router advertisements must not add others.
  writeQuietly(`/proc/sys/net/ipv6/conf/${name}/accept_ra`, '0');
  // Set to itself, or the bridge would take the lowest MAC of its ports, which change as pods come and go.
  setLink(socket, link.index, { mac: link.mac });
  return link;
}

/** Gives the bridge the pods' gateway addresses and lets the host forward. */
export function ensureGateways(
  bridge: BridgePort,
  ips: readonly { address: string; gateway: string }[],
): void {
  using socket = openNetlink();
  const present = listAddresses(socket, bridge.index);
  for (const { address, gateway } of ips) {
    enableForwarding(gateway.includes(':'));
    if (present.some((entry) => entry.address === gateway)) continue;
    const network = parseNetwork(address);
    const rival = present.find((entry) => contains(network, entry.address));
    if (rival !== undefined)
      throw new SkiffError(
        'FAILED_PRECONDITION',
        `The bridge has the address ${rival.address}, not the gateway ${gateway}; remove it or change the configuration`,
      );
    const broadcast = network.family === 4 ? numberAddress(lastOf(network), 4) : undefined;
    try {
      addAddress(socket, { index: bridge.index, address: gateway, prefix: network.prefix, broadcast });
    } catch (error) {
      if (!isSkiffError(error) || error.errno !== 'EEXIST') throw error;
    }
  }
}

function enableForwarding(ipv6: boolean): void {
  const path = ipv6 ? '/proc/sys/net/ipv6/conf/all/forwarding' : '/proc/sys/net/ipv4/ip_forward';
  writeFileSync(path, '1', { flag: 'r+' });
}

/** For settings that a kernel without IPv6 has not. */
function writeQuietly(path: string, value: string): void {
  try {
    writeFileSync(path, value, { flag: 'r+' });
  } catch {
    // No IPv6 here: then there is nothing to forbid.
  }
}
