import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { isSkiffError } from '#foundation/base/errors.ts';
import { holdBeneath, makeDirectoriesBeneath } from './beneath.ts';

function withTree(work: (root: string) => void): void {
  const base = mkdtempSync('/tmp/skiff-beneath-');
  try {
    const root = `${base}/root`;
    mkdirSync(`${root}/a/b`, { recursive: true });
    writeFileSync(`${root}/a/file`, 'inside');
    writeFileSync(`${base}/secret`, 'outside');
    symlinkSync('a/file', `${root}/good`);
    symlinkSync('../secret', `${root}/up`);
    symlinkSync('/etc', `${root}/absolute`);
    symlinkSync('..', `${root}/a/parent`);
    work(root);
  } finally {
    rmSync(base, { recursive: true });
  }
}

test('links inside are followed, paths out are refused', () =>
  withTree((root) => {
    using file = holdBeneath(root, 'good');
    assert.equal(readFileSync(file.path, 'utf8'), 'inside');
    for (const bad of ['up', 'absolute/passwd', '../secret', '/etc/passwd', 'a/parent/../secret'])
      assert.throws(
        () => holdBeneath(root, bad),
        (error) => isSkiffError(error, 'PERMISSION_DENIED'),
        bad,
      );
    assert.throws(
      () => holdBeneath(root, 'none'),
      (error) => isSkiffError(error, 'NOT_FOUND'),
    );
  }));

test('missing directories are made with their exact mode, and never outside', () =>
  withTree((root) => {
    using made = makeDirectoriesBeneath(root, 'x/y/z', 0o777);
    assert.ok(statSync(made.path).isDirectory());
    assert.equal(statSync(`${root}/x/y`).mode & 0o7777, 0o777);
    assert.throws(
      () => makeDirectoriesBeneath(root, 'absolute/skiff-must-not-be', 0o755),
      (error) => isSkiffError(error, 'PERMISSION_DENIED'),
    );
  }));
