/**
 * Moves a network interface of this namespace into another, as the OCI runtime spec has it for `linux.netDevices`
 * (config-linux.md, version 1.3): it gets its new name, keeps its lasting addresses, and is set up. With the end of
 * its namespace a physical one comes back by itself (the kernel's doing), a virtual one ends.
 */
import { closeSync, openSync } from 'node:fs';
import { SkiffError } from '#foundation/base/errors.ts';
import { addAddress, type InterfaceAddress, lastingAddresses } from './addresses.ts';
import { findLink, getLink, setLink } from './links.ts';
import { inNamespaces } from './namespaces.ts';
import { type NetlinkSocket, openNetlink } from './netlink.ts';

/** What to move where. */
export interface LinkMove {
  name: string;
  /** What it is called there. */
  newName: string;
  /** Path of the network namespace. */
  netns: string;
}

/**
 * Moves it; one that is there already under its new name, and not here, is success.
 *
 * @returns how to take it back.
 * @throws SkiffError NOT_FOUND, ALREADY_EXISTS (the name is taken there), or with the kernel's reason; it is here then.
 */
export function moveLink({ name, newName, netns }: LinkMove): () => void {
  using here = openNetlink();
  using there = inNamespaces({ net: netns }, () => openNetlink());
  const link = findLink(here, name);
  const rival = findLink(there, newName);
  if (link === undefined && rival !== undefined) return () => {};
  if (link === undefined) throw new SkiffError('NOT_FOUND', `There is no network interface "${name}"`);
  if (rival !== undefined)
    throw new SkiffError('ALREADY_EXISTS', `The pod has a network interface "${newName}" already`);
  const addresses = lastingAddresses(here, link.index);
  const target = openSync(netns, 'r');
  try {
    move({ from: here, to: there, fd: target, name, newName, addresses });
  } catch (error) {
    if (findLink(here, name) === undefined) takeBack({ name, newName, netns }, addresses);
    throw error;
  } finally {
    closeSync(target);
  }
  return () => takeBack({ name, newName, netns }, addresses);
}

function takeBack({ name, newName, netns }: LinkMove, addresses: readonly InterfaceAddress[]): void {
  using here = openNetlink();
  using there = inNamespaces({ net: netns }, () => openNetlink());
  const own = openSync('/proc/thread-self/ns/net', 'r');
  try {
    move({ from: there, to: here, fd: own, name: newName, newName: name, addresses });
  } finally {
    closeSync(own);
  }
}

interface Move {
  from: NetlinkSocket;
  to: NetlinkSocket;
  /** Of the namespace to move to. */
  fd: number;
  name: string;
  newName: string;
  addresses: readonly InterfaceAddress[];
}

/** On its way an interface goes down and loses its addresses, and it may get another index. */
function move({ from, to, fd, name, newName, addresses }: Move): void {
  setLink(from, getLink(from, name).index, { name: newName, netns: fd });
  const { index } = getLink(to, newName);
  for (const { address, prefix } of addresses) addAddress(to, { index, address, prefix });
  setLink(to, index, { up: true });
}
