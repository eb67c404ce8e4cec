/**
 * Connection tracking by netlink (ctnetlink, <linux/netfilter/nfnetlink_conntrack.h>). The kernel asks rules of address
 * translation for the first packet of a flow only: a UDP flow that began before a port was published keeps going
 * where it went then, for as long as its packets come.
 */
import { isSkiffError } from '#foundation/base/errors.ts';
import {
  attribute,
  NetlinkFlag,
  NetlinkProtocol,
  type NetlinkSocket,
  openNetlink,
  readAttributes,
} from './netlink.ts';

const CTNETLINK = 1 << 8;
const messages = { get: CTNETLINK | 1, delete: CTNETLINK | 2 };
const CTA = { tupleOrig: 1, id: 12 } as const;
const CTA_TUPLE = { ip: 1, proto: 2 } as const;
const CTA_IP = { v4Destination: 2, v6Destination: 4 } as const;
const CTA_PROTO = { number: 1, destinationPort: 3 } as const;
const families = { ip: 2, ip6: 10 } as const;
const UDP = 17;
/** `struct nfgenmsg`: family, version, resource. */
const HEADER = 4;

/** Which flows. */
export interface FlowFilter {
  family: keyof typeof families;
  /** The port that the first packet was sent to. */
  port: number;
  /** The address that it was sent to, as bytes; any unless told. */
  address?: Uint8Array;
}

/**
 * Makes the kernel forget UDP flows, so that their next packets are looked at anew.
 *
 * @returns how many were forgotten.
 * @throws SkiffError; UNIMPLEMENTED or NOT_FOUND (by errno) where the kernel tracks no connections.
 */
export function forgetUdpFlows(filter: FlowFilter): number {
  using socket = openNetlink(NetlinkProtocol.netfilter);
  const header = Buffer.from([families[filter.family], 0, 0, 0]);
  const flows = socket.request('Cannot list tracked connections', {
    type: messages.get,
    flags: NetlinkFlag.dump,
    body: header,
  });
  let forgotten = 0;
  for (const { body } of flows) {
    const attributes = readAttributes(body.subarray(HEADER));
    const tuple = attributes.get(CTA.tupleOrig);
    if (tuple === undefined || !matches(tuple, filter)) continue;
    if (forget(socket, header, tuple, attributes.get(CTA.id))) forgotten += 1;
  }
  return forgotten;
}

function matches(tuple: Buffer, { port, address }: FlowFilter): boolean {
  const parts = readAttributes(tuple);
  const proto = readAttributes(parts.get(CTA_TUPLE.proto) ?? Buffer.alloc(0));
  if (proto.get(CTA_PROTO.number)?.[0] !== UDP) return false;
  if (proto.get(CTA_PROTO.destinationPort)?.readUInt16BE(0) !== port) return false;
  if (address === undefined) return true;
  const ip = readAttributes(parts.get(CTA_TUPLE.ip) ?? Buffer.alloc(0));
  const sentTo = ip.get(CTA_IP.v4Destination) ?? ip.get(CTA_IP.v6Destination);
  return sentTo?.equals(address) === true;
}

/** By its first packet's addresses and its id, so that no newer flow of the same addresses goes. */
function forget(socket: NetlinkSocket, header: Buffer, tuple: Buffer, id: Buffer | undefined): boolean {
  const nested = attribute(CTA.tupleOrig, [tuple]);
  const body = Buffer.concat([header, nested, ...(id === undefined ? [] : [attribute(CTA.id, id)])]);
  try {
    socket.request('Cannot forget a tracked connection', { type: messages.delete, body });
    return true;
  } catch (error) {
    if (isSkiffError(error, 'NOT_FOUND')) return false; // It ended meanwhile.
    throw error;
  }
}
