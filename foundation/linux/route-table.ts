/** The main routing table with all that another machine needs to have the same: rtnetlink(7), <linux/rtnetlink.h>. */
import { formatAddress } from '#foundation/base/ip.ts';
import { NetlinkFlag, type NetlinkSocket, readAttributes } from './netlink.ts';

const RTM_GETROUTE = 26;
const RT_TABLE_MAIN = 254;
const RTPROT_KERNEL = 2;
const RTN_UNICAST = 1;
const RTNH_F_ONLINK = 4;
const Rta = {
  destination: 1,
  interface: 4,
  gateway: 5,
  priority: 6,
  source: 7,
  metrics: 8,
  table: 15,
} as const;
const RTAX_MTU = 2;

/** A route. */
export interface TableRoute {
  /** Index of the outgoing interface. */
  index: number;
  /** `10.0.0.0/8`; `0.0.0.0/0` or `::/0` for the default route. */
  destination: string;
  gateway: string | undefined;
  /** The address to send from. */
  source: string | undefined;
  /** RT_SCOPE_*: 0 universe, 253 link. */
  scope: number;
  metric: number | undefined;
  mtu: number | undefined;
  /** The gateway is on the link though no address covers it. */
  onlink: boolean;
}

/**
 * The unicast routes of the main table that somebody set: not those that the kernel makes of addresses. Routes with
 * several next hops are left out.
 */
export function readRouteTable(socket: NetlinkSocket, family: 4 | 6): TableRoute[] {
  const header = Buffer.alloc(12);
  header.writeUInt8(family === 6 ? 10 : 2, 0);
  return socket
    .request('Cannot list routes', { type: RTM_GETROUTE, flags: NetlinkFlag.dump, body: header })
    .map(({ body }) => readRoute(body, family))
    .filter((route) => route !== undefined);
}

function readRoute(body: Buffer, family: 4 | 6): TableRoute | undefined {
  const attributes = readAttributes(body.subarray(12));
  const [table, protocol, scope, type] = [4, 5, 6, 7].map((at) => body.readUInt8(at));
  const index = attributes.get(Rta.interface)?.readUInt32LE(0);
  if (table !== RT_TABLE_MAIN || protocol === RTPROT_KERNEL || type !== RTN_UNICAST || index === undefined)
    return undefined;
  const text = (bytes: Buffer | undefined) => (bytes === undefined ? undefined : formatAddress(bytes));
  const metrics = readAttributes(attributes.get(Rta.metrics) ?? Buffer.alloc(0));
  return {
    index,
    destination: `${text(attributes.get(Rta.destination)) ?? (family === 6 ? '::' : '0.0.0.0')}/${body.readUInt8(1)}`,
    gateway: text(attributes.get(Rta.gateway)),
    source: text(attributes.get(Rta.source)),
    scope: scope ?? 0,
    metric: attributes.get(Rta.priority)?.readUInt32LE(0),
    mtu: metrics.get(RTAX_MTU)?.readUInt32LE(0),
    onlink: (body.readUInt32LE(8) & RTNH_F_ONLINK) !== 0,
  };
}
