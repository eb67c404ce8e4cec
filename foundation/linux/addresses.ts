/** IP addresses and routes over rtnetlink. See rtnetlink(7), <linux/if_addr.h>, <linux/rtnetlink.h>. */
import { isIPv6 } from 'node:net';
import { formatAddress, parseAddress } from '#foundation/base/ip.ts';
import { attribute, NetlinkFlag, type NetlinkSocket, readAttributes } from './netlink.ts';

const RTM_NEWADDR = 20;
const RTM_GETADDR = 22;
const RTM_NEWROUTE = 24;
const RTM_GETROUTE = 26;
const AF_INET = 2;
const AF_INET6 = 10;
const IFA_ADDRESS = 1;
const IFA_LOCAL = 2;
const IFA_BROADCAST = 4;
const RTA_DST = 1;
const RTA_OIF = 4;
const RTA_GATEWAY = 5;
const RTA_PREFSRC = 7;
const RT_TABLE_MAIN = 254;
const RTPROT_BOOT = 3;
const RTN_UNICAST = 1;
const SCOPE_LINK = 253;
const SCOPE_UNIVERSE = 0;
const IFA_F_PERMANENT = 0x80;

/** An address on an interface. */
export interface InterfaceAddress {
  index: number;
  address: string;
  /** Length of the network's prefix, in bits. */
  prefix: number;
}

/** A route of the main table. */
export interface Route {
  /** Index of the outgoing interface. */
  index: number;
  /** `10.0.0.0/8`; `0.0.0.0/0` or `::/0` for the default route. */
  destination: string;
  /** Left out for networks that are on the link. */
  gateway?: string;
  /** The address to send from. */
  source?: string;
}

/** Adds an address. @throws SkiffError (errno EEXIST) if the interface has it. */
export function addAddress(
  socket: NetlinkSocket,
  { index, address, prefix, broadcast }: InterfaceAddress & { broadcast?: string },
): void {
  const attributes = [attribute(IFA_LOCAL, bytesOf(address)), attribute(IFA_ADDRESS, bytesOf(address))];
  if (broadcast !== undefined) attributes.push(attribute(IFA_BROADCAST, bytesOf(broadcast)));
  const body = Buffer.concat([addressHeader(index, address, prefix), ...attributes]);
  socket.request(`Cannot add the address ${address}/${prefix} to interface ${index}`, {
    type: RTM_NEWADDR,
    flags: NetlinkFlag.create | NetlinkFlag.exclusive,
    body,
  });
}

/** All addresses of the namespace; only those of one interface if `index` is given. */
export function listAddresses(socket: NetlinkSocket, index?: number): InterfaceAddress[] {
  return dumpAddresses(socket)
    .filter((body) => index === undefined || indexOf(body) === index)
    .map(readAddress);
}

/** Those of an interface that somebody set for good and that mean something everywhere: no lease, nothing link-local. */
export function lastingAddresses(socket: NetlinkSocket, index: number): InterfaceAddress[] {
  return dumpAddresses(socket)
    .filter((body) => (body.readUInt8(2) & IFA_F_PERMANENT) !== 0 && body.readUInt8(3) === SCOPE_UNIVERSE)
    .map(readAddress)
    .filter((address) => address.index === index);
}

/** Bodies that begin with a struct ifaddrmsg: rtnetlink(7). */
function dumpAddresses(socket: NetlinkSocket): Buffer[] {
  const request = { type: RTM_GETADDR, flags: NetlinkFlag.dump, body: Buffer.alloc(8) };
  return socket.request('Cannot list addresses', request).map(({ body }) => body);
}

function indexOf(body: Buffer): number {
  return body.readUInt32LE(4);
}

function readAddress(body: Buffer): InterfaceAddress {
  const attributes = readAttributes(body.subarray(8));
  const bytes = attributes.get(IFA_LOCAL) ?? attributes.get(IFA_ADDRESS) ?? Buffer.alloc(4);
  return { index: indexOf(body), address: formatAddress(bytes), prefix: body.readUInt8(1) };
}

/** Adds a route to the main table. @throws SkiffError (errno EEXIST) if it is there. */
export function addRoute(socket: NetlinkSocket, route: Route): void {
  const [network = '', prefix = '0'] = route.destination.split('/');
  const attributes = [attribute(RTA_OIF, route.index)];
  if (prefix !== '0') attributes.push(attribute(RTA_DST, bytesOf(network)));
  if (route.gateway !== undefined) attributes.push(attribute(RTA_GATEWAY, bytesOf(route.gateway)));
  if (route.source !== undefined) attributes.push(attribute(RTA_PREFSRC, bytesOf(route.source)));
  const header = Buffer.alloc(12);
  header.writeUInt8(isIPv6(network) ? AF_INET6 : AF_INET, 0);
  header.writeUInt8(Number(prefix), 1);
  header.writeUInt8(RT_TABLE_MAIN, 4);
  header.writeUInt8(RTPROT_BOOT, 5);
  header.writeUInt8(route.gateway === undefined ? SCOPE_LINK : 0, 6);
  header.writeUInt8(RTN_UNICAST, 7);
  socket.request(`Cannot add the route to ${route.destination}`, {
    type: RTM_NEWROUTE,
    flags: NetlinkFlag.create | NetlinkFlag.exclusive,
    body: Buffer.concat([header, ...attributes]),
  });
}

/** The routes of the main table. */
export function listRoutes(socket: NetlinkSocket, family: 4 | 6): Route[] {
  const header = Buffer.alloc(12);
  header.writeUInt8(family === 6 ? AF_INET6 : AF_INET, 0);
  const request = { type: RTM_GETROUTE, flags: NetlinkFlag.dump, body: header };
  return socket
    .request('Cannot list routes', request)
    .filter(({ body }) => body.readUInt8(4) === RT_TABLE_MAIN)
    .map(({ body }) => {
      const attributes = readAttributes(body.subarray(12));
      const any = Buffer.alloc(family === 6 ? 16 : 4);
      const gateway = attributes.get(RTA_GATEWAY);
      const source = attributes.get(RTA_PREFSRC);
      return {
        index: attributes.get(RTA_OIF)?.readUInt32LE(0) ?? 0,
        destination: `${formatAddress(attributes.get(RTA_DST) ?? any)}/${body.readUInt8(1)}`,
        gateway: gateway === undefined ? undefined : formatAddress(gateway),
        source: source === undefined ? undefined : formatAddress(source),
      };
    });
}

/** struct ifaddrmsg. */
function addressHeader(index: number, address: string, prefix: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeUInt8(isIPv6(address) ? AF_INET6 : AF_INET, 0);
  bytes.writeUInt8(prefix, 1);
  bytes.writeUInt32LE(index, 4);
  return bytes;
}

function bytesOf(address: string): Buffer {
  return parseAddress(address);
}
