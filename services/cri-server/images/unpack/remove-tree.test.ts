import assert from 'node:assert/strict';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { isSkiffError } from '#foundation/base/errors.ts';
import { openRoot } from '#foundation/linux/at.ts';
import { mount, unmountTree } from '#foundation/linux/mount.ts';
import { removeTreeAt } from './remove-tree.ts';

test('a tree goes, but neither what its links lead to nor what is mounted in it', (t) => {
  const directory = mkdtempSync('/tmp/skiff-remove-');
  t.after(() => {
    unmountTree(directory);
    rmSync(directory, { recursive: true });
  });
  mkdirSync(`${directory}/tree/a/mounted`, { recursive: true });
  mkdirSync(`${directory}/beside`);
  writeFileSync(`${directory}/beside/kept`, '');
  symlinkSync(`${directory}/beside`, `${directory}/tree/link`);
  mount({ source: 'tmpfs', target: `${directory}/tree/a/mounted`, type: 'tmpfs', data: 'size=1m' });
  writeFileSync(`${directory}/tree/a/mounted/kept`, '');
  using folder = openRoot(directory);
  assert.throws(
    () => removeTreeAt(folder.fd, 'tree'),
    (error) => isSkiffError(error) && error.errno === 'EXDEV',
  );
  assert.ok(existsSync(`${directory}/tree/a/mounted/kept`));
  unmountTree(`${directory}/tree`);
  removeTreeAt(folder.fd, 'tree');
  removeTreeAt(folder.fd, 'tree');
  assert.deepEqual(readdirSync(directory), ['beside']);
  assert.deepEqual(readdirSync(`${directory}/beside`), ['kept']);
});
