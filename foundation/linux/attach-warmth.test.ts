import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { attachWarmth } from './attach-warmth.ts';
import { cgroupLayout } from './cgroups.ts';

test('writes to its own group while held, and then no more', async () => {
  const written: [string, string][] = [];
  const warmth = attachWarmth(cgroupLayout(), async (...args) => void written.push(args));
  const [first, second] = [warmth.hold(), warmth.hold()];
  first[Symbol.dispose]();
  while (written.length < 3) await sleep(5);
  second[Symbol.dispose]();
  await sleep(30);
  const count = written.length;
  await sleep(50);
  assert.equal(written.length, count);
  const [path = '', text] = written[0] ?? [];
  assert.equal(text, '0');
  assert.ok(existsSync(path), path);
  assert.ok(readFileSync(path, 'utf8').split('\n').includes(String(process.pid)));
});

test('a holder that never lets go is forgotten, and a write that fails harms nothing', async () => {
  let writes = 0;
  const warmth = attachWarmth(cgroupLayout(), async () => {
    writes += 1;
    throw new Error('EBUSY');
  });
  warmth.hold(100);
  await sleep(300);
  const count = writes;
  assert.ok(count > 1);
  await sleep(100);
  assert.equal(writes, count);
});

test('the real write leaves the process where it is', async () => {
  const before = readFileSync('/proc/self/cgroup', 'utf8');
  using _held = attachWarmth(cgroupLayout()).hold();
  await sleep(60);
  assert.equal(readFileSync('/proc/self/cgroup', 'utf8'), before);
});
