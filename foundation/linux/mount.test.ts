import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { isSkiffError } from '#foundation/base/errors.ts';
import {
  bindMount,
  listMounts,
  MountFlag,
  mount,
  mountsBelow,
  parseMountLine,
  shareMount,
  unmount,
  unmountAll,
  unmountTree,
} from './mount.ts';

test('mounts come, are listed deepest first, and go', (t) => {
  const directory = mkdtempSync('/tmp/skiff-mount-');
  t.after(() => {
    unmountTree(directory);
    rmSync(directory, { recursive: true });
  });
  mkdirSync(`${directory}/a b`);
  mount({ source: 'tmpfs', target: `${directory}/a b`, type: 'tmpfs', data: 'size=1m' });
  mkdirSync(`${directory}/a b/c`);
  bindMount('/usr', `${directory}/a b/c`, { readOnly: true });
  const found = mountsBelow(directory);
  assert.deepEqual(
    found.map((each) => each.target),
    [`${directory}/a b/c`, `${directory}/a b`],
  );
  assert.ok(found[0]?.options.includes('ro'));
  assert.throws(() => writeFileSync(`${directory}/a b/c/x`, ''), /EROFS/);
  unmount(`${directory}/a b/c`);
  unmount(`${directory}/a b`);
  unmount(`${directory}/a b`);
  unmount(`${directory}/none`);
  assert.deepEqual(mountsBelow(directory), []);
});

test('a directory in a private mount is shared by a mount onto itself, and that can be told and taken back', (t) => {
  const directory = mkdtempSync('/tmp/skiff-mount-');
  t.after(() => {
    unmountTree(directory);
    rmSync(directory, { recursive: true });
  });
  mount({ source: 'tmpfs', target: directory, type: 'tmpfs', data: 'size=1m' });
  mount({ source: 'none', target: directory, flags: MountFlag.private });
  const inner = `${directory}/deep/inner`;
  mkdirSync(inner, { recursive: true });
  assert.equal(shareMount(inner), true);
  const shared = () =>
    listMounts().filter(({ propagation }) => propagation.some((each) => /^shared:/.test(each)));
  assert.deepEqual(
    shared().flatMap(({ target }) => (target.startsWith(directory) ? [target] : [])),
    [inner],
  );
  assert.equal(shareMount(inner), true, 'found as an earlier call left it');
  assert.equal(mountsBelow(inner).length, 1);
  unmount(inner);
  assert.equal(shareMount(directory), false, 'a mount of its own is shared where it is');
  assert.equal(shareMount(inner), false, 'and so is all in it');
  assert.equal(mountsBelow(directory).length, 1);
});

test('what is mounted at a place is taken off at once, however often and whatever is in it', (t) => {
  const directory = mkdtempSync('/tmp/skiff-mount-');
  t.after(() => {
    unmountTree(directory);
    rmSync(directory, { recursive: true });
  });
  for (const name of ['a', 'beside']) mkdirSync(`${directory}/${name}`);
  for (const target of [`${directory}/a`, `${directory}/a`, `${directory}/a/in`, `${directory}/beside`]) {
    mkdirSync(target, { recursive: true });
    mount({ source: 'tmpfs', target, type: 'tmpfs', data: 'size=1m' });
  }
  unmountAll(`${directory}/a`);
  assert.deepEqual(
    mountsBelow(directory).map(({ target }) => target),
    [`${directory}/beside`],
  );
  unmountAll(`${directory}/a`);
  unmountAll(`${directory}/none`);
});

test('a failure names what, where and why', () => {
  assert.throws(
    () => mount({ source: 'x', target: '/no/such', type: 'tmpfs' }),
    (error) =>
      isSkiffError(error, 'NOT_FOUND') && error.errno === 'ENOENT' && error.message.includes('"/no/such"'),
  );
});

test('optional fields and octal escapes of mountinfo are understood', () => {
  const line = '36 35 98:0 /mnt1 /mnt\\0402 rw,noatime master:1 shared:7 - ext3 /dev/root rw,errors=continue';
  assert.deepEqual(parseMountLine(line), {
    device: '98:0',
    root: '/mnt1',
    target: '/mnt 2',
    type: 'ext3',
    source: '/dev/root',
    options: ['rw', 'noatime'],
    superOptions: ['rw', 'errors=continue'],
    propagation: ['master:1', 'shared:7'],
  });
});
