import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { test } from 'node:test';
import { readTail, replaceFileSync } from './files.ts';

test('a file is replaced whole, with its mode, and nothing else is left', (t) => {
  const directory = mkdtempSync('/tmp/skiff-files-');
  t.after(() => rmSync(directory, { recursive: true }));
  replaceFileSync(`${directory}/f`, 'one');
  replaceFileSync(`${directory}/f`, 'two', { mode: 0o640 });
  assert.equal(readFileSync(`${directory}/f`, 'utf8'), 'two');
  assert.equal(statSync(`${directory}/f`).mode & 0o777, 0o640);
  assert.throws(() => replaceFileSync(`${directory}/none/f`, 'x'), /ENOENT/);
  assert.deepEqual(readdirSync(directory), ['f']);
});

test('the tail of a file, or all of a short one', async (t) => {
  const directory = mkdtempSync('/tmp/skiff-files-');
  t.after(() => rmSync(directory, { recursive: true }));
  replaceFileSync(`${directory}/f`, 'abcdef');
  assert.equal((await readTail(`${directory}/f`, 2)).toString(), 'ef');
  assert.equal((await readTail(`${directory}/f`, 99)).toString(), 'abcdef');
});
