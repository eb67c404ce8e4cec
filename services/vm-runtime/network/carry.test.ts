import assert from 'node:assert/strict';
import { closeSync, mkdtempSync, readSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { addAddress, addRoute } from '#foundation/linux/addresses.ts';
import { addVeth, findLink, getLink, listLinks, setLink } from '#foundation/linux/links.ts';
import {
  currentNamespace,
  inNamespaces,
  inNewNamespaces,
  pinNamespace,
  prepareNamespaces,
  unpinNamespace,
} from '#foundation/linux/namespaces.ts';
import { openNetlink } from '#foundation/linux/netlink.ts';
import { openTap } from '#foundation/linux/tap.ts';
import { interfacesWithIngress } from '#foundation/linux/traffic-control.ts';
import { carryNetwork, dropNetwork } from './carry.ts';

/** Runs `work` with a pinned namespace that holds both ends of a pair: eth0 (the pod's) and far (the node's). */
async function withNamespace(work: (netns: string) => Promise<void>): Promise<void> {
  await prepareNamespaces();
  const directory = mkdtempSync(join(tmpdir(), 'skiff-net-'));
  const netns = join(directory, 'netns');
  try {
    inNewNamespaces(['net'], () => {
      pinNamespace(currentNamespace('net'), netns);
      using socket = openNetlink();
      addVeth(socket, {
        host: { name: 'eth0', up: true, mac: '02:11:22:33:44:55' },
        peer: { name: 'far', mac: '02:11:22:33:44:66' },
        mtu: 1400,
      });
      const { index } = getLink(socket, 'eth0');
      setLink(socket, getLink(socket, 'far').index, { up: true });
      addAddress(socket, { index, address: '10.9.0.2', prefix: 24 });
      addAddress(socket, { index, address: 'fd09::2', prefix: 64 });
      addRoute(socket, { index, destination: '0.0.0.0/0', gateway: '10.9.0.1' });
      addRoute(socket, { index, destination: '10.77.0.0/16' });
      addRoute(socket, { index, destination: '::/0', gateway: 'fd09::1' });
    });
    await work(netns);
  } finally {
    unpinNamespace(netns);
    rmSync(directory, { recursive: true });
  }
}

/** Interfaces of the namespace by name, and whether each has a redirect. */
function look(netns: string): Record<string, boolean> {
  return inNamespaces({ net: netns }, () => {
    using socket = openNetlink();
    const redirected = interfacesWithIngress(socket);
    return Object.fromEntries(listLinks(socket).map((link) => [link.name, redirected.includes(link.index)]));
  });
}

test('lineage 20: every interface is carried, with its MAC, addresses of both families, MTU and routes', async () => {
  await withNamespace(async (netns) => {
    const network = await carryNetwork(netns);
    const eth0 = network.guest.interfaces.find((each) => each.name === 'eth0');
    assert.deepEqual(eth0, {
      mac: '02:11:22:33:44:55',
      name: 'eth0',
      mtu: 1400,
      addresses: ['10.9.0.2/24', 'fd09::2/64'],
    });
    assert.deepEqual(network.nics.map(({ name, mtu }) => [name, mtu]).sort(), [
      ['eth0', 1400],
      ['far', 1400],
    ]);
    const routes = network.guest.routes.map((route) => [route.destination, route.gateway, route.interface]);
    assert.deepEqual(routes, [
      ['10.77.0.0/16', undefined, 'eth0'],
      ['0.0.0.0/0', '10.9.0.1', 'eth0'],
      ['::/0', 'fd09::1', 'eth0'],
    ]);
    network.closeTaps();
    dropNetwork(netns);
  });
});

test('frames pass between interface and tap in both directions, and none reaches the kernel of the namespace', async () => {
  await withNamespace(async (netns) => {
    const network = await carryNetwork(netns);
    // What far sends comes in by eth0 and out of eth0's tap; far's own tap is the way to make far send.
    const tap = (name: string) => network.nics.find((nic) => nic.name === name)?.tapFd ?? -1;
    const there = await passes(tap('far'), tap('eth0'));
    const back = await passes(tap('eth0'), tap('far'));
    assert.deepEqual({ there, back }, { there: true, back: true });
    network.closeTaps();
    dropNetwork(netns);
  });
});

/** Writes a frame into one tap and looks whether it comes out of the other. */
async function passes(from: number, to: number): Promise<boolean> {
  const mark = Buffer.from(`mark ${Math.random()}`.padEnd(60));
  const ethernet = Buffer.from('ffffffffffff02aabbccddee88b5', 'hex');
  writeSync(from, Buffer.concat([Buffer.alloc(10), ethernet, mark])); // 10 bytes of virtio-net header
  const frame = Buffer.alloc(2000);
  // Other frames (neighbour discovery) come as well. Reading blocks; something always comes, or the test times out.
  for (let count = 0; count < 100; count += 1) {
    const length = readSync(to, frame);
    if (frame.subarray(0, length).includes(mark)) return true;
  }
  return false;
}

test('dropping leaves the interfaces as they were, also when the taps went with their hypervisor, and twice', async () => {
  await withNamespace(async (netns) => {
    const before = look(netns);
    const network = await carryNetwork(netns);
    assert.equal(look(netns).eth0, true);
    network.closeTaps();
    assert.deepEqual(look(netns), { lo: false, eth0: true, far: true });
    dropNetwork(netns);
    dropNetwork(netns);
    assert.deepEqual(look(netns), before);
    // And it can be carried anew.
    (await carryNetwork(netns)).closeTaps();
    dropNetwork(netns);
  });
  dropNetwork('/nonexistent/netns');
});

test('lineage 20: what fails half-way leaves nothing, and a namespace that is carried already is refused', async () => {
  await withNamespace(async (netns) => {
    const network = await carryNetwork(netns);
    await assert.rejects(carryNetwork(netns), /carry the network .* has an ingress filter already/);
    assert.equal(look(netns).eth0, true, 'the first one goes on');
    network.closeTaps();
    dropNetwork(netns);
    // Ten interfaces are too many.
    inNamespaces({ net: netns }, () => {
      using socket = openNetlink();
      for (let n = 0; n < 4; n += 1) addVeth(socket, { host: { name: `a${n}` }, peer: { name: `b${n}` } });
    });
    const before = look(netns);
    await assert.rejects(carryNetwork(netns), /it has 10 interfaces; a VM has places for 8/);
    assert.deepEqual(look(netns), before);
  });
  await assert.rejects(carryNetwork('/nonexistent/netns'), { code: 'NOT_FOUND' });
});

test('a tap goes with its descriptor', async () => {
  await withNamespace(async (netns) => {
    const find = () =>
      inNamespaces({ net: netns }, () => {
        using socket = openNetlink();
        return findLink(socket, 'tap7') !== undefined;
      });
    const fd = inNamespaces({ net: netns }, () => openTap('tap7'));
    assert.equal(find(), true);
    assert.throws(() => inNamespaces({ net: netns }, () => openTap('tap7')), { errno: 'EBUSY' });
    closeSync(fd);
    assert.equal(find(), false);
  });
});
