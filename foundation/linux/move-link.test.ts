import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { addAddress, lastingAddresses } from './addresses.ts';
import { addBridge, addVeth, findLink, getLink, setLink } from './links.ts';
import { moveLink } from './move-link.ts';
import {
  currentNamespace,
  inNamespaces,
  inNewNamespaces,
  pinNamespace,
  unpinNamespace,
} from './namespaces.ts';
import { openNetlink } from './netlink.ts';

/** Two empty network namespaces. */
function namespaces(t: TestContext): [string, string] {
  const directory = mkdtempSync('/tmp/skiff-move-');
  const pins = ['host', 'pod'].map((name) => {
    const pin = join(directory, name);
    inNewNamespaces(['net'], () => pinNamespace(currentNamespace('net'), pin));
    return pin;
  });
  t.after(() => {
    for (const pin of pins) unpinNamespace(pin);
    rmSync(directory, { recursive: true });
  });
  return pins as [string, string];
}

test('an interface moves with its lasting addresses, up, under its new name, and back', (t) => {
  const [host, pod] = namespaces(t);
  using a = inNamespaces({ net: host }, () => openNetlink());
  using b = inNamespaces({ net: pod }, () => openNetlink());
  addVeth(a, { host: { name: 'dev0', up: true }, peer: { name: 'peer0' } });
  const { index } = getLink(a, 'dev0');
  addAddress(a, { index, address: '192.0.2.7', prefix: 24 });
  addAddress(a, { index, address: '2001:db8::7', prefix: 64 });
  const request = { name: 'dev0', newName: 'net1', netns: pod };
  const takeBack = inNamespaces({ net: host }, () => moveLink(request));
  assert.equal(findLink(a, 'dev0'), undefined);
  const moved = getLink(b, 'net1');
  assert.equal(moved.up, true);
  const addressesOf = (socket: typeof b, at: number) =>
    lastingAddresses(socket, at).map((each) => each.address);
  assert.deepEqual(addressesOf(b, moved.index), ['192.0.2.7', '2001:db8::7']);
  inNamespaces({ net: host }, () => moveLink(request)); // A container of the pod that starts anew.
  inNamespaces({ net: host }, takeBack);
  assert.equal(findLink(b, 'net1'), undefined);
  const back = getLink(a, 'dev0');
  assert.equal(back.up, true);
  assert.deepEqual(addressesOf(a, back.index), ['192.0.2.7', '2001:db8::7']);
});

test('what cannot be moved stays where it is', (t) => {
  const [host, pod] = namespaces(t);
  using a = inNamespaces({ net: host }, () => openNetlink());
  using b = inNamespaces({ net: pod }, () => openNetlink());
  const move = (name: string, newName: string) =>
    inNamespaces({ net: host }, () => moveLink({ name, newName, netns: pod }));
  assert.throws(() => move('none', 'x'), { code: 'NOT_FOUND' });
  addVeth(a, { host: { name: 'dev0', up: true }, peer: { name: 'peer0' } });
  addBridge(b, { name: 'taken' });
  assert.throws(() => move('dev0', 'taken'), { code: 'ALREADY_EXISTS' });
  assert.equal(getLink(a, 'dev0').up, true);
  setLink(a, getLink(a, 'lo').index, { up: true });
  assert.throws(() => move('lo', 'lo1'));
  assert.equal(getLink(a, 'lo').up, true);
});
