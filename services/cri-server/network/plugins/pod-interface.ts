/** A pod's interface: a veth pair whose one end is made inside the pod's namespace, with addresses and routes. */
import { randomBytes } from 'node:crypto';
import { closeSync, openSync, writeFileSync } from 'node:fs';
import { isIPv6 } from 'node:net';
import { SkiffError } from '#foundation/base/errors.ts';
import { lastOf, numberAddress, parseNetwork } from '#foundation/base/ip.ts';
import { addAddress, addRoute } from '#foundation/linux/addresses.ts';
import { addVeth, findLink, linkIndex, setHairpin, setLink } from '#foundation/linux/links.ts';
import { inNamespaces } from '#foundation/linux/namespaces.ts';
import { type NetlinkSocket, openNetlink } from '#foundation/linux/netlink.ts';
import type { CniRoute } from '../cni/types.ts';

/** The interface to make. */
export interface PodInterfaceRequest {
  netns: string;
  ifName: string;
  host: { name: string; master: number; hairpin: boolean };
  /** 0 for the kernel's default. */
  mtu: number;
  mac?: string;
  ips: readonly { address: string; gateway: string }[];
  routes: readonly CniRoute[];
}

/** MAC addresses of both ends. */
export interface PodInterface {
  mac: string;
  hostMac: string;
}

/**
 * Makes the pair and sets up the pod's end.
 *
 * @throws SkiffError ALREADY_EXISTS if the pod has an interface of that name. A pair that was made by then ends
 *   with the pod's namespace.
 */
export function connectPod(request: PodInterfaceRequest): PodInterface {
  const { netns, ifName, host, mtu } = request;
  const mac = request.mac ?? randomMac();
  const hostMac = randomMac();
  using outside = openNetlink();
  const fd = openSync(netns, 'r');
  try {
    addVeth(outside, {
      host: { name: host.name, master: host.master, up: true, mac: hostMac },
      peer: { name: ifName, netns: fd, mac },
      mtu,
    });
  } catch (error) {
    throw explain(error, netns, ifName);
  } finally {
    closeSync(fd);
  }
  if (host.hairpin) setHairpin(outside, linkIndex(host.name), true);
  writeQuietly(`/proc/sys/net/ipv6/conf/${host.name}/accept_ra`, '0');
  inNamespaces({ net: netns }, () => setUpInside(request));
  return { mac, hostMac };
}

function explain(error: unknown, netns: string, ifName: string): unknown {
  using inside = inNamespaces({ net: netns }, () => openNetlink());
  if (findLink(inside, ifName) === undefined) return error;
  return new SkiffError('ALREADY_EXISTS', `The pod has an interface "${ifName}" already`, { cause: error });
}

/** Addresses come before the interface is up: the kernel then announces them to the neighbours (arp_notify). */
function setUpInside({ ifName, ips, routes }: PodInterfaceRequest): void {
  using socket = openNetlink();
  const index = linkIndex(ifName);
  setLink(socket, index, { arpNotify: true });
  if (ips.some(({ address }) => isIPv6(address.split('/')[0] ?? ''))) setUpIPv6(ifName);
  for (const { address } of ips) addPodAddress(socket, index, address);
  setLink(socket, index, { up: true });
  for (const { dst, gw } of routes) {
    const gateway = gw ?? ips.find(({ address }) => address.includes(':') === dst.includes(':'))?.gateway;
    addRoute(socket, { index, destination: dst, gateway });
  }
}

/** Hairpin ports echo neighbour solicitations, which duplicate address detection would take for a rival. */
function setUpIPv6(ifName: string): void {
  const settings = { disable_ipv6: '0', accept_dad: '0' };
  for (const [name, value] of Object.entries(settings))
    writeQuietly(`/proc/sys/net/ipv6/conf/${ifName}/${name}`, value);
}

function addPodAddress(socket: NetlinkSocket, index: number, text: string): void {
  const network = parseNetwork(text);
  const broadcast =
    network.family === 4 && network.prefix < 31 ? numberAddress(lastOf(network), 4) : undefined;
  addAddress(socket, { index, address: text.split('/')[0] ?? '', prefix: network.prefix, broadcast });
}

/** A locally administered unicast address. */
function randomMac(): string {
  const bytes = randomBytes(6);
  bytes.writeUInt8((bytes.readUInt8(0) & 0xfc) | 0x02, 0);
  return bytes.toString('hex').replace(/(..)(?!$)/g, '$1:');
}

function writeQuietly(path: string, value: string): void {
  try {
    writeFileSync(path, value, { flag: 'r+' });
  } catch {
    // A kernel without IPv6, or without this setting: the default is as good.
  }
}
