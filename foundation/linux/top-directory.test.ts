import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { test } from 'node:test';
import { setTopDirectory } from './top-directory.ts';

test('a top directory has the attribute T, and what is made in it has not', () => {
  const directory = mkdtempSync('/tmp/skiff-top-');
  try {
    const taken = setTopDirectory(directory);
    assert.equal(setTopDirectory(directory), taken, 'once more');
    mkdirSync(`${directory}/below`);
    const attributes = (path: string) => {
      try {
        return execFileSync('lsattr', ['-d', path], {
          encoding: 'utf8',
          stdio: ['ignore', 'pipe', 'ignore'],
        });
      } catch {
        return ''; // A file system without attributes.
      }
    };
    assert.equal(attributes(directory).split(' ')[0]?.includes('T') ?? false, taken);
    assert.ok(!attributes(`${directory}/below`).split(' ')[0]?.includes('T'));
  } finally {
    rmSync(directory, { recursive: true });
  }
});

test('a file system that knows no such hint is left alone', () => {
  assert.equal(setTopDirectory('/proc'), false);
});
