import assert from 'node:assert/strict';
import { linkSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { type TestContext, test } from 'node:test';
import { smallTreeUsage, treeUsage } from './usage.ts';

function directory(t: TestContext): string {
  const path = mkdtempSync('/tmp/skiff-usage-');
  t.after(() => rmSync(path, { recursive: true }));
  return path;
}

test('a small tree is measured at once, with hard links counted once, as the thread would', (t) => {
  const path = directory(t);
  mkdirSync(`${path}/a/b`, { recursive: true });
  writeFileSync(`${path}/a/b/file`, 'x'.repeat(5000));
  linkSync(`${path}/a/b/file`, `${path}/again`);
  const usage = smallTreeUsage(path, 4);
  assert.equal(usage?.inodes, 4, 'the root, two directories and one file');
  assert.ok((usage?.bytes ?? 0) >= 5000);
  assert.deepEqual(usage, treeUsage(path));
  assert.deepEqual(smallTreeUsage(`${path}/none`, 4), { bytes: 0, inodes: 0 });
});

test('a tree with more inodes, or with a long directory, is left to others', (t) => {
  const path = directory(t);
  mkdirSync(`${path}/a`);
  writeFileSync(`${path}/a/file`, '');
  assert.equal(smallTreeUsage(path, 2), undefined);
  assert.equal(smallTreeUsage(path, 3)?.inodes, 3);
  const long = `${path}/long`;
  mkdirSync(long);
  for (let index = 0; index < 2000; index++) writeFileSync(`${long}/${'n'.repeat(40)}${index}`, '');
  assert.equal(smallTreeUsage(path, 1_000_000), undefined, 'it is not even read');
  assert.equal(treeUsage(path).inodes, 2004);
});
