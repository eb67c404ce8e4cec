/** Carries the interfaces of a pod's network namespace into its VM. See types.ts for the picture. */
import { closeSync } from 'node:fs';
import { SkiffError, wrapError } from '#foundation/base/errors.ts';
import { undoStack } from '#foundation/base/undo.ts';
import { type InterfaceAddress, listAddresses } from '#foundation/linux/addresses.ts';
import { deleteLink, findLink, getLink, type Link, listLinks, setLink } from '#foundation/linux/links.ts';
import { inNamespaces } from '#foundation/linux/namespaces.ts';
import { type NetlinkSocket, openNetlink } from '#foundation/linux/netlink.ts';
import { openTap } from '#foundation/linux/tap.ts';
import { interfacesWithIngress, redirectIngress, removeIngress } from '#foundation/linux/traffic-control.ts';
import type { AgentInterface } from '../agent-client/types.ts';
import { guestRoutes } from './routes.ts';
import type { CarriedNetwork, CarriedNic } from './types.ts';

/** Names of our taps: `skifft` and the index of the interface that each stands for. */
const tapPrefix = 'skifft';
/** More interfaces than a VM has places for are refused. */
export const mostNics = 8;

/** Kinds that the kernel makes by itself in every namespace where their modules are loaded. */
const kernelsOwn = ['ipip', 'gre', 'sit', 'ip6tnl', 'gretap', 'erspan', 'ip6gre', 'vti', 'vti6', 'tunl'];

/**
 * Makes a tap for every interface of the namespace but loopback, redirects both to each other, and reads what the
 * guest is to be told. Nothing is left if it fails.
 *
 * @throws SkiffError NOT_FOUND if there is no such namespace; FAILED_PRECONDITION if its interfaces are carried
 *   already (call `dropNetwork` first) or if it has more than 8.
 */
export async function carryNetwork(netns: string): Promise<CarriedNetwork> {
  await using undo = undoStack();
  const opened: number[] = [];
  undo.defer('close taps', () => closeAll(opened));
  const undoRedirects = () => dropNetwork(netns);
  try {
    const network = inNamespaces({ net: netns }, () => {
      using socket = openNetlink();
      const links = podLinks(socket);
      const carried = interfacesWithIngress(socket).filter((index) =>
        links.some((link) => link.index === index),
      );
      if (carried.length > 0)
        throw new SkiffError('FAILED_PRECONDITION', `interface ${carried[0]} has an ingress filter already`);
      undo.defer('remove redirects', undoRedirects);
      return carryLinks(socket, netns, links, opened);
    });
    undo.commit();
    return network;
  } catch (error) {
    throw wrapError(error, `Cannot carry the network of "${netns}" into a VM`);
  }
}

/**
 * Takes the redirects and taps away; the interfaces are as CNI made them then. A namespace that is gone, or was never
 * carried, is success.
 */
export function dropNetwork(netns: string): void {
  try {
    inNamespaces({ net: netns }, () => {
      using socket = openNetlink();
      const taps = listLinks(socket).filter((link) => link.name.startsWith(tapPrefix));
      for (const tap of taps) {
        removeIngress(socket, Number(tap.name.slice(tapPrefix.length)));
        deleteLink(socket, tap.index);
      }
      // A tap goes with its hypervisor, its interface's filter does not.
      for (const link of podLinks(socket)) removeIngress(socket, link.index);
    });
  } catch (error) {
    const wrapped = wrapError(error, `Cannot take the network of "${netns}" back`);
    if (wrapped.errno !== 'ENOENT' && wrapped.errno !== 'EINVAL') throw wrapped;
  }
}

function carryLinks(socket: NetlinkSocket, netns: string, links: Link[], opened: number[]): CarriedNetwork {
  if (links.length > mostNics)
    throw new SkiffError(
      'FAILED_PRECONDITION',
      `it has ${links.length} interfaces; a VM has places for ${mostNics}`,
    );
  const addresses = listAddresses(socket);
  const nics = links.map((link) => carryLink(socket, link, opened));
  return {
    netns,
    nics,
    guest: {
      interfaces: links.map((link) => guestInterface(link, addresses)),
      routes: guestRoutes(socket, links),
    },
    closeTaps: () => closeAll(opened),
  };
}

/** The interfaces to carry: all but loopback, our own taps, and what the kernel puts everywhere. */
function podLinks(socket: NetlinkSocket): Link[] {
  return listLinks(socket).filter(
    (link) =>
      link.name !== 'lo' &&
      !link.name.startsWith(tapPrefix) &&
      /^(?!00:00:00:00:00:00)(..:){5}..$/.test(link.mac) &&
      !kernelsOwn.includes(link.kind),
  );
}

function carryLink(socket: NetlinkSocket, link: Link, opened: number[]): CarriedNic {
  const tap = `${tapPrefix}${link.index}`;
  const stale = findLink(socket, tap);
  if (stale !== undefined) deleteLink(socket, stale.index);
  const tapFd = openTap(tap);
  opened.push(tapFd);
  const { index } = getLink(socket, tap);
  setLink(socket, index, { mtu: link.mtu, up: true, queueLength: 1000 });
  redirectIngress(socket, link.index, index);
  redirectIngress(socket, index, link.index);
  return { name: link.name, mac: link.mac, mtu: link.mtu, tap, tapFd };
}

function guestInterface(link: Link, addresses: InterfaceAddress[]): AgentInterface {
  const own = addresses.filter((each) => each.index === link.index && !isLinkLocal(each.address));
  return {
    mac: link.mac,
    name: link.name,
    mtu: link.mtu,
    addresses: own.map(({ address, prefix }) => `${address}/${prefix}`),
  };
}

/** The guest's kernel makes its own link-local address of the MAC, which is the same one. */
function isLinkLocal(address: string): boolean {
  return /^fe[89ab][0-9a-f]:/i.test(address);
}

/** Closes and forgets. */
function closeAll(fds: number[]): void {
  for (const fd of fds.splice(0)) closeSync(fd);
}
