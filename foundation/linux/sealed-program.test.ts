import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { sealProgram } from './sealed-program.ts';

test('a sealed program runs, cannot be written to, and is gone when disposed', (t) => {
  const directory = mkdtempSync('/tmp/skiff-seal-');
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  const sealed = sealProgram('/bin/echo', directory);
  assert.equal(sealed.path, join(directory, 'echo'));
  assert.equal(execFileSync(sealed.path, ['hello'], { encoding: 'utf8' }), 'hello\n');
  assert.deepEqual(readFileSync(sealed.path), readFileSync('/bin/echo'));
  assert.throws(() => writeFileSync(sealed.path, 'x'), { code: 'EPERM' });
  sealed[Symbol.dispose]();
  assert.ok(!existsSync(sealed.path));
});

test('a link that a killed process left is replaced', (t) => {
  const directory = mkdtempSync('/tmp/skiff-seal-');
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  sealProgram('/bin/true', directory);
  using again = sealProgram('/bin/true', directory);
  execFileSync(again.path);
});

test('what is not there is said', () => {
  assert.throws(() => sealProgram('/no/such/program', '/tmp'), { code: 'ENOENT' });
});
