/** What an fsGroup makes of a volume (kubelet-facts 7): one line for each kind of file and policy. */
import assert from 'node:assert/strict';
import {
  chmodSync,
  chownSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { setOwnership } from './ownership.ts';

const group = 4242;

/** A volume with a directory, a private file, a program, and a link out of it. */
function volume(work: (root: string, see: (name: string) => string) => void): void {
  const outer = mkdtempSync('/tmp/skiff-own-');
  const root = join(outer, 'volume');
  try {
    mkdirSync(join(root, 'dir'), { recursive: true });
    writeFileSync(join(outer, 'outside'), '', { mode: 0o600 });
    writeFileSync(join(root, 'dir', 'private'), '');
    writeFileSync(join(root, 'program'), '');
    symlinkSync('../outside', join(root, 'link'));
    chmodSync(root, 0o755);
    chmodSync(join(root, 'dir'), 0o700);
    chmodSync(join(root, 'dir', 'private'), 0o600);
    chmodSync(join(root, 'program'), 0o700);
    work(root, (name) => {
      const { mode, uid, gid } = lstatSync(join(root, name));
      return `${(mode & 0o7777).toString(8)} ${uid}:${gid}`;
    });
  } finally {
    rmSync(outer, { recursive: true });
  }
}

for (const [name, readOnly, wanted] of [
  ['.', false, '2775 0:4242'],
  ['dir', false, '2770 0:4242'],
  ['dir/private', false, '660 0:4242'],
  ['program', false, '760 0:4242'],
  ['.', true, '2755 0:4242'],
  ['dir', true, '2750 0:4242'],
  ['dir/private', true, '640 0:4242'],
] as const)
  test(`fsGroup: "${name}" of a volume to ${readOnly ? 'read' : 'write'} is ${wanted}`, () =>
    volume((root, see) => {
      setOwnership(root, { group, readOnly });
      assert.equal(see(name), wanted);
    }));

test('fsGroup: a link is owned, what it points at is not touched', () =>
  volume((root, see) => {
    setOwnership(root, { group, readOnly: false });
    assert.match(see('link'), / 0:4242$/);
    assert.equal(see('../outside'), '600 0:0');
  }));

for (const [policy, right, wanted] of [
  ['Always', true, '660 0:4242'],
  ['OnRootMismatch', true, '600 0:0'],
  ['OnRootMismatch', false, '660 0:4242'],
] as const)
  test(`fsGroup: ${policy} with a root that is ${right ? 'right' : 'wrong'}`, () =>
    volume((root, see) => {
      if (right) chownSync(root, 0, group);
      if (right) chmodSync(root, 0o2775);
      setOwnership(root, { group, readOnly: false, policy });
      assert.equal(see('dir/private'), wanted);
    }));
