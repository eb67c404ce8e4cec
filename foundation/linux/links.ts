/** Network interfaces over rtnetlink: find, make, change and delete links. See rtnetlink(7), <linux/if_link.h>. */
import { isSkiffError } from '#foundation/base/errors.ts';
import { check, declare } from './libc.ts';
import {
  attribute,
  attributeText,
  type NetlinkAnswer,
  NetlinkFlag,
  type NetlinkSocket,
  readAttributes,
} from './netlink.ts';

const ifNameToIndex = declare('unsigned int if_nametoindex(const char *name)');

const RTM_NEWLINK = 16;
const RTM_DELLINK = 17;
const RTM_GETLINK = 18;
const RTM_SETLINK = 19;
const AF_BRIDGE = 7;
const IFF_UP = 1;

/** Attribute numbers of <linux/if_link.h>. */
const Ifla = {
  address: 1,
  ifname: 3,
  mtu: 4,
  link: 5,
  master: 10,
  txqlen: 13,
  protinfo: 12,
  linkinfo: 18,
  ifalias: 20,
  afSpec: 26,
  netNsFd: 28,
  extMask: 29,
} as const;
const INFO_KIND = 1;
const INFO_DATA = 2;
const VETH_INFO_PEER = 1;
const BRIDGE_VLAN_FILTERING = 7;
const BRPORT_MODE = 4;
const AF_INET = 2;
const IFLA_INET_CONF = 1;
/** <linux/ip.h>, the sysctl `arp_notify`. */
const IPV4_DEVCONF_ARP_NOTIFY = 22;
/** Counters, for which the kernel would ask every processor, are left out of the answer: <linux/rtnetlink.h>. */
const RTEXT_FILTER_SKIP_STATS = 8;

/** The index of `lo`: the kernel's LOOPBACK_IFINDEX, the same in every network namespace. */
export const loopbackIndex = 1;

/** A network interface. */
export interface Link {
  index: number;
  name: string;
  /** `02:42:...`; empty for interfaces without one. */
  mac: string;
  mtu: number;
  up: boolean;
  /** Index of the bridge it is a port of; 0 for none. */
  master: number;
  /** `veth`, `bridge`, ...; empty for physical ones. */
  kind: string;
  /** Index of a veth's peer, in the peer's namespace; 0 for other kinds. */
  peer: number;
}

/** What to change on a link. */
export interface LinkChange {
  name?: string;
  up?: boolean;
  mtu?: number;
  mac?: string;
  /** Packets of the transmit queue; 0 for none, which suits virtual interfaces. */
  queueLength?: number;
  /** Index of the bridge to join; 0 leaves it. */
  master?: number;
  alias?: string;
  /** The sysctl net.ipv4.conf.NAME.arp_notify; it holds from the next message on, which may bring the link up. */
  arpNotify?: boolean;
  /** File descriptor of the network namespace to move to. */
  netns?: number;
}

/** A pair of virtual interfaces to make. */
export interface VethRequest {
  /** The end that stays in the socket's namespace. */
  host: { name: string; master?: number; up?: boolean; mac?: string; alias?: string };
  /** The other end; `netns` is a file descriptor of the namespace it is made in. */
  peer: { name: string; netns?: number; mac?: string };
  mtu?: number;
}

/** Finds a link by name or index. @throws SkiffError (errno ENODEV) if there is none. */
export function getLink(socket: NetlinkSocket, which: string | number): Link {
  const named = typeof which === 'number' ? [] : [attribute(Ifla.ifname, which)];
  const head = header(typeof which === 'number' ? { index: which } : {});
  const body = Buffer.concat([head, ...named, attribute(Ifla.extMask, RTEXT_FILTER_SKIP_STATS)]);
  const [answer] = socket.request(`Cannot find the interface "${which}"`, { type: RTM_GETLINK, body });
  return readLink(answer);
}

/** The index of a link of the current network namespace: much cheaper than `getLink`. @throws SkiffError (ENODEV). */
export function linkIndex(name: string): number {
  const index = ifNameToIndex(name);
  return check(index === 0 ? -1 : index, `Cannot find the interface "${name}"`);
}

/** Finds a link, or nothing if there is none. */
export function findLink(socket: NetlinkSocket, which: string | number): Link | undefined {
  try {
    return getLink(socket, which);
  } catch (error) {
    if (isSkiffError(error) && error.errno === 'ENODEV') return undefined;
    throw error;
  }
}

/** All links of the namespace. */
export function listLinks(socket: NetlinkSocket): Link[] {
  const request = { type: RTM_GETLINK, flags: NetlinkFlag.dump, body: header({}) };
  return socket.request('Cannot list interfaces', request).map(readLink);
}

/** Changes a link; one message, so all or nothing as far as the kernel's driver keeps that. */
export function setLink(socket: NetlinkSocket, index: number, change: LinkChange): void {
  const body = Buffer.concat([header({ index, up: change.up }), ...changeAttributes(change)]);
  socket.request(`Cannot change interface ${change.name ?? index}`, { type: RTM_NEWLINK, body });
}

/** Deletes a link; one that is gone already is success. A veth takes its peer along, and some 30 ms. */
export function deleteLink(socket: NetlinkSocket, index: number): void {
  try {
    socket.request(`Cannot delete interface ${index}`, { type: RTM_DELLINK, body: header({ index }) });
  } catch (error) {
    if (!isSkiffError(error) || error.errno !== 'ENODEV') throw error;
  }
}

/** Makes a pair of virtual Ethernet interfaces. @throws SkiffError (errno EEXIST) if a name is taken. */
export function addVeth(socket: NetlinkSocket, { host, peer, mtu }: VethRequest): void {
  const peerBody = Buffer.concat([header({}), ...changeAttributes({ ...peer, mtu, queueLength: 0 })]);
  const info = [attribute(INFO_KIND, 'veth'), attribute(INFO_DATA, [attribute(VETH_INFO_PEER, [peerBody])])];
  const body = Buffer.concat([
    header({ up: host.up }),
    ...changeAttributes({ ...host, mtu, queueLength: 0 }),
    attribute(Ifla.linkinfo, info),
  ]);
  add(socket, `Cannot make the interface pair "${host.name}", "${peer.name}"`, body);
}

/** Makes a bridge, down. @throws SkiffError (errno EEXIST) if the name is taken. */
export function addBridge(
  socket: NetlinkSocket,
  request: { name: string; mtu?: number; vlanFiltering?: boolean; alias?: string },
): void {
  const data = request.vlanFiltering === true ? [attribute(BRIDGE_VLAN_FILTERING, Buffer.from([1]))] : [];
  const info = [attribute(INFO_KIND, 'bridge'), attribute(INFO_DATA, data)];
  const body = Buffer.concat([header({}), ...changeAttributes(request), attribute(Ifla.linkinfo, info)]);
  add(socket, `Cannot make the bridge "${request.name}"`, body);
}

/** Lets a bridge send a frame back through the port it came from, so that a pod reaches itself by its service. */
export function setHairpin(socket: NetlinkSocket, index: number, on: boolean): void {
  const body = Buffer.concat([
    header({ family: AF_BRIDGE, index }),
    attribute(Ifla.protinfo, [attribute(BRPORT_MODE, Buffer.from([on ? 1 : 0]))]),
  ]);
  socket.request(`Cannot set hairpin mode of interface ${index}`, { type: RTM_SETLINK, body });
}

function add(socket: NetlinkSocket, what: string, body: Buffer): void {
  socket.request(what, { type: RTM_NEWLINK, flags: NetlinkFlag.create | NetlinkFlag.exclusive, body });
}

/** struct ifinfomsg. */
function header(fields: { family?: number; index?: number; up?: boolean | undefined }): Buffer {
  const bytes = Buffer.alloc(16);
  bytes.writeUInt8(fields.family ?? 0, 0);
  bytes.writeInt32LE(fields.index ?? 0, 4);
  if (fields.up !== undefined) {
    bytes.writeUInt32LE(fields.up ? IFF_UP : 0, 8);
    bytes.writeUInt32LE(IFF_UP, 12);
  }
  return bytes;
}

function changeAttributes(change: LinkChange): Buffer[] {
  const attributes: Buffer[] = [];
  if (change.name !== undefined) attributes.push(attribute(Ifla.ifname, change.name));
  if (change.mtu !== undefined && change.mtu > 0) attributes.push(attribute(Ifla.mtu, change.mtu));
  if (change.mac !== undefined)
    attributes.push(attribute(Ifla.address, Buffer.from(change.mac.replaceAll(':', ''), 'hex')));
  if (change.queueLength !== undefined) attributes.push(attribute(Ifla.txqlen, change.queueLength));
  if (change.master !== undefined) attributes.push(attribute(Ifla.master, change.master));
  if (change.alias !== undefined) attributes.push(attribute(Ifla.ifalias, change.alias));
  if (change.netns !== undefined) attributes.push(attribute(Ifla.netNsFd, change.netns));
  if (change.arpNotify !== undefined) {
    const setting = attribute(IPV4_DEVCONF_ARP_NOTIFY, change.arpNotify ? 1 : 0);
    const family = attribute(AF_INET, [attribute(IFLA_INET_CONF, [setting])]);
    attributes.push(attribute(Ifla.afSpec, [family]));
  }
  return attributes;
}

function readLink(answer: NetlinkAnswer | undefined): Link {
  const body = answer?.body ?? Buffer.alloc(16);
  const attributes = readAttributes(body.subarray(16));
  const info = readAttributes(attributes.get(Ifla.linkinfo) ?? Buffer.alloc(0));
  const mac = attributes.get(Ifla.address)?.toString('hex') ?? '';
  return {
    index: body.readInt32LE(4),
    name: attributeText(attributes.get(Ifla.ifname)),
    mac: mac.replace(/(..)(?!$)/g, '$1:'),
    mtu: attributes.get(Ifla.mtu)?.readUInt32LE(0) ?? 0,
    up: (body.readUInt32LE(8) & IFF_UP) !== 0,
    master: attributes.get(Ifla.master)?.readUInt32LE(0) ?? 0,
    kind: attributeText(info.get(INFO_KIND)),
    peer: attributes.get(Ifla.link)?.readUInt32LE(0) ?? 0,
  };
}
