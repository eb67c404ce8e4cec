import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { trimHeap } from './heap.ts';
import { declare } from './libc.ts';

const malloc = declare('unsigned long malloc(size_t size)');
const free = declare('void free(unsigned long memory)');
const memset = declare('unsigned long memset(unsigned long memory, int value, size_t size)');

function anonymousMb(): number {
  return Number(/RssAnon:\s+(\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))?.[1]) / 1024;
}

test('memory that was freed below memory in use goes back to the kernel', async () => {
  const size = 64 * 1024;
  const blocks = Array.from({ length: 1000 }, () => malloc(size));
  for (const block of blocks) memset(block, 1, size);
  const last = malloc(size); // What lies above keeps the C library from giving the rest back by itself.
  for (const block of blocks) free(block);
  const before = anonymousMb();
  await trimHeap();
  assert.ok(before - anonymousMb() > 40, `${before} MB before, ${anonymousMb()} MB after`);
  free(last);
});
