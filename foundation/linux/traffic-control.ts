/**
 * Traffic control over rtnetlink, as far as it sends every frame that comes in by one interface out by another: an
 * ingress queueing discipline with a filter (u32 with one key that matches everything) and the action "mirred".
 * See tc(8), tc-mirred(8), <linux/pkt_cls.h>, <linux/tc_act/tc_mirred.h>.
 */
import { isSkiffError } from '#foundation/base/errors.ts';
import { attribute, attributeText, NetlinkFlag, type NetlinkSocket, readAttributes } from './netlink.ts';

const RTM_NEWQDISC = 36;
const RTM_DELQDISC = 37;
const RTM_GETQDISC = 38;
const RTM_NEWTFILTER = 44;

const TC_H_INGRESS = 0xfffffff1;
const ingressHandle = 0xffff0000;
const TCA_KIND = 1;
const TCA_OPTIONS = 2;
const TCA_U32_SEL = 5;
const TCA_U32_ACT = 7;
const TCA_ACT_KIND = 1;
const TCA_ACT_OPTIONS = 2;
const TCA_MIRRED_PARMS = 2;
const TCA_EGRESS_REDIR = 1;
const TC_ACT_STOLEN = 4;
const TC_U32_TERMINAL = 1;
/** ETH_P_ALL in network byte order, beside priority 1: `tcm_info` of a filter. */
const allProtocols = (1 << 16) | 0x0300;

/**
 * Sends every frame that comes in by `from` out by `to`, before the kernel's own protocols see it.
 *
 * @param from @param to indexes of interfaces of the socket's namespace.
 * @throws SkiffError (errno EEXIST) if `from` has an ingress discipline already.
 */
export function redirectIngress(socket: NetlinkSocket, from: number, to: number): void {
  const what = `Cannot redirect the frames of interface ${from} to interface ${to}`;
  socket.request(what, {
    type: RTM_NEWQDISC,
    flags: NetlinkFlag.create | NetlinkFlag.exclusive,
    body: Buffer.concat([header(from, ingressHandle, TC_H_INGRESS, 0), attribute(TCA_KIND, 'ingress')]),
  });
  // struct tc_u32_sel: flags, shift, number of keys; then one struct tc_u32_key whose mask is zero.
  const selector = Buffer.alloc(16 + 16);
  selector.writeUInt8(TC_U32_TERMINAL, 0);
  selector.writeUInt8(1, 2);
  // struct tc_mirred: index, capabilities, action, references, bindings; what to do, and the interface.
  const parameters = Buffer.alloc(28);
  parameters.writeInt32LE(TC_ACT_STOLEN, 8);
  parameters.writeInt32LE(TCA_EGRESS_REDIR, 20);
  parameters.writeUInt32LE(to, 24);
  const mirred = [
    attribute(TCA_ACT_KIND, 'mirred'),
    attribute(TCA_ACT_OPTIONS, [attribute(TCA_MIRRED_PARMS, parameters)]),
  ];
  // Actions are numbered from 1.
  const options = [attribute(TCA_U32_SEL, selector), attribute(TCA_U32_ACT, [attribute(1, mirred)])];
  socket.request(what, {
    type: RTM_NEWTFILTER,
    flags: NetlinkFlag.create | NetlinkFlag.exclusive,
    body: Buffer.concat([
      header(from, 0, ingressHandle, allProtocols),
      attribute(TCA_KIND, 'u32'),
      attribute(TCA_OPTIONS, options),
    ]),
  });
}

/** Removes the ingress discipline of an interface with its filters; none, or no interface, is success. */
export function removeIngress(socket: NetlinkSocket, index: number): void {
  try {
    socket.request(`Cannot remove the ingress filters of interface ${index}`, {
      type: RTM_DELQDISC,
      body: Buffer.concat([header(index, ingressHandle, TC_H_INGRESS, 0), attribute(TCA_KIND, 'ingress')]),
    });
  } catch (error) {
    if (!isSkiffError(error) || !['EINVAL', 'ENOENT', 'ENODEV'].includes(error.errno ?? '')) throw error;
  }
}

/** Indexes of the interfaces that have an ingress discipline. */
export function interfacesWithIngress(socket: NetlinkSocket): number[] {
  const request = { type: RTM_GETQDISC, flags: NetlinkFlag.dump, body: header(0, 0, 0, 0) };
  return socket
    .request('Cannot list queueing disciplines', request)
    .filter(({ body }) => attributeText(readAttributes(body.subarray(20)).get(TCA_KIND)) === 'ingress')
    .map(({ body }) => body.readInt32LE(4));
}

/** struct tcmsg. */
function header(index: number, handle: number, parent: number, info: number): Buffer {
  const bytes = Buffer.alloc(20);
  bytes.writeInt32LE(index, 4);
  bytes.writeUInt32LE(handle, 8);
  bytes.writeUInt32LE(parent, 12);
  bytes.writeUInt32LE(info >>> 0, 16);
  return bytes;
}
