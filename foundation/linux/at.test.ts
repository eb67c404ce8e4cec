import assert from 'node:assert/strict';
import { closeSync, lstatSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { isSkiffError } from '#foundation/base/errors.ts';
import {
  chmodAt,
  chownAt,
  createFileAt,
  deviceNumber,
  FileType,
  linkAt,
  makeDirectoryAt,
  makeNodeAt,
  openDirectoryInRoot,
  openRoot,
  setTimesAt,
  statAt,
  symlinkAt,
  unlinkAt,
} from './at.ts';
import { listXattrsAt, setXattrAt } from './xattr.ts';

test('calls relative to a directory make, tell and remove every kind of file, and do not leave it', () => {
  const path = mkdtempSync('/tmp/skiff-at-');
  try {
    using root = openRoot(path);
    closeSync(createFileAt(root.fd, 'file'));
    assert.throws(
      () => createFileAt(root.fd, 'file'),
      (error) => isSkiffError(error, 'ALREADY_EXISTS'),
    );
    chownAt(root.fd, 'file', 70_000, 80_000);
    chmodAt(root.fd, 'file', 0o4711);
    setTimesAt(root.fd, 'file', -1_500_000_000n);
    setXattrAt(root.fd, 'file', 'user.a', Buffer.from([0, 1]));
    const stat = statAt(root.fd, 'file');
    assert.deepEqual(
      [stat?.mode, stat?.uid, stat?.gid, stat?.mtime],
      [0o104711, 70_000, 80_000, -1_500_000_000n],
    );
    assert.deepEqual(listXattrsAt(root.fd, 'file'), new Map([['user.a', Buffer.from([0, 1])]]));
    linkAt(root.fd, 'file', root.fd, 'second');
    assert.equal(statAt(root.fd, 'second')?.inode, stat?.inode);
    makeNodeAt(root.fd, 'node', FileType.character | 0o600, { major: 300, minor: 70_000 });
    assert.deepEqual(statAt(root.fd, 'node')?.device, { major: 300, minor: 70_000 });
    makeDirectoryAt(root.fd, 'dir');
    symlinkAt('/', root.fd, 'up');
    closeSync(openDirectoryInRoot(root.fd, 'up/dir'));
    assert.throws(
      () => openDirectoryInRoot(root.fd, 'up/etc'),
      (error) => isSkiffError(error, 'NOT_FOUND'),
    );
    assert.throws(() => openDirectoryInRoot(root.fd, 'up/dir', { links: false }), /ELOOP/);
    assert.equal(statAt(root.fd, 'absent'), undefined);
    unlinkAt(root.fd, 'dir', { directory: true });
    assert.throws(() => lstatSync(`${path}/dir`), { code: 'ENOENT' });
    // Names are bytes: one that is no UTF-8 comes through unchanged.
    closeSync(createFileAt(root.fd, '\xff\xfe'));
    writeFileSync(Buffer.from(`${path}/\xff\xfe`, 'latin1'), 'x');
    assert.equal(statAt(root.fd, '\xff\xfe')?.size, 1);
    symlinkSync('x', `${path}/long`);
    assert.throws(() => statAt(root.fd, 'n'.repeat(5000)), /ENAMETOOLONG/);
  } finally {
    rmSync(path, { recursive: true, force: true });
  }
});

test('device numbers are those of makedev(3)', () => {
  assert.equal(deviceNumber(1, 3), 0x103n);
  assert.equal(deviceNumber(259, 300), 0x11032cn);
});
