import assert from 'node:assert/strict';
import { closeSync, mkdtempSync, openSync, rmSync } from 'node:fs';
import { hostname } from 'node:os';
import { test } from 'node:test';
import { addAddress, addRoute, listAddresses, listRoutes } from './addresses.ts';
import { addVeth, deleteLink, findLink, getLink, listLinks, setLink } from './links.ts';
import {
  currentNamespace,
  inNamespaces,
  inNewNamespaces,
  isPinned,
  namespaceId,
  pinNamespace,
  prepareNamespaces,
  setHostname,
  unpinNamespace,
} from './namespaces.ts';
import { openNetlink } from './netlink.ts';

test('a pinned namespace lives without a process, and this thread is back where it was', async (t) => {
  const directory = mkdtempSync('/tmp/skiff-ns-');
  const pin = `${directory}/net`;
  t.after(() => {
    unpinNamespace(pin);
    rmSync(directory, { recursive: true });
  });
  await prepareNamespaces();
  const home = namespaceId('/proc/thread-self/ns/net');
  const name = hostname();
  const made = inNewNamespaces(['net', 'uts'], () => {
    setHostname('pod');
    pinNamespace(currentNamespace('net'), pin);
    return namespaceId(currentNamespace('net'));
  });
  assert.equal(namespaceId('/proc/thread-self/ns/net'), home);
  assert.equal(hostname(), name);
  assert.equal(isPinned(pin), true);
  assert.equal(namespaceId(pin), made);
  assert.equal(
    inNamespaces({ net: pin }, () => namespaceId('/proc/thread-self/ns/net')),
    made,
  );
  assert.throws(() => inNamespaces({ net: pin }, () => assert.fail('inner')), /inner/);
  assert.throws(() => inNamespaces({ net: pin }, async () => {}), /must be synchronous/);
  assert.equal(namespaceId('/proc/thread-self/ns/net'), home);
  unpinNamespace(pin);
  assert.equal(isPinned(pin), false);
});

test('a veth pair between two namespaces with addresses and routes', async (t) => {
  const directory = mkdtempSync('/tmp/skiff-nl-');
  const pins = [`${directory}/a`, `${directory}/b`] as const;
  t.after(() => {
    for (const pin of pins) unpinNamespace(pin);
    rmSync(directory, { recursive: true });
  });
  await prepareNamespaces();
  for (const pin of pins) inNewNamespaces(['net'], () => pinNamespace(currentNamespace('net'), pin));
  using a = inNamespaces({ net: pins[0] }, () => openNetlink());
  using b = inNamespaces({ net: pins[1] }, () => openNetlink());
  const fd = openSync(pins[1], 'r');
  addVeth(a, {
    host: { name: 'va', up: true, mac: '02:00:00:00:00:01' },
    peer: { name: 'vb', netns: fd },
    mtu: 1400,
  });
  closeSync(fd);
  const va = getLink(a, 'va');
  assert.deepEqual(
    { mac: va.mac, mtu: va.mtu, up: va.up, kind: va.kind },
    { mac: '02:00:00:00:00:01', mtu: 1400, up: true, kind: 'veth' },
  );
  const vb = getLink(b, 'vb');
  assert.equal(va.peer, vb.index);
  addAddress(b, { index: vb.index, address: '10.9.8.7', prefix: 24 });
  addAddress(b, { index: vb.index, address: 'fd00::7', prefix: 64 });
  setLink(b, vb.index, { up: true, name: 'eth0' });
  addRoute(b, { index: vb.index, destination: '0.0.0.0/0', gateway: '10.9.8.1' });
  addRoute(b, { index: vb.index, destination: '::/0', gateway: 'fd00::1' });
  assert.deepEqual(
    listAddresses(b).filter((entry) => entry.index === vb.index && !entry.address.startsWith('fe80')),
    [
      { index: vb.index, address: '10.9.8.7', prefix: 24 },
      { index: vb.index, address: 'fd00::7', prefix: 64 },
    ],
  );
  const defaults = [...listRoutes(b, 4), ...listRoutes(b, 6)].filter((route) =>
    route.destination.endsWith('/0'),
  );
  assert.deepEqual(
    defaults.map((route) => route.gateway),
    ['10.9.8.1', 'fd00::1'],
  );
  assert.throws(() => addAddress(b, { index: vb.index, address: '10.9.8.7', prefix: 24 }), {
    errno: 'EEXIST',
  });
  deleteLink(a, va.index);
  deleteLink(a, va.index);
  assert.equal(findLink(b, 'eth0'), undefined);
  assert.deepEqual(
    listLinks(b).map((link) => link.name),
    ['lo'],
  );
});
