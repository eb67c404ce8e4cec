import assert from 'node:assert/strict';
import { test } from 'node:test';
import { asyncQueue } from './async-queue.ts';

test('items come in order, those pushed before the end too, then the end or its error', async () => {
  const queue = asyncQueue<number>();
  queue.push(1);
  setImmediate(() => {
    queue.push(2);
    queue.push(3);
    queue.end();
    queue.push(4);
  });
  assert.deepEqual(await Array.fromAsync(queue), [1, 2, 3]);
  const failing = asyncQueue<number>();
  failing.push(1);
  failing.end(new Error('broke'));
  const seen: number[] = [];
  await assert.rejects(async () => {
    for await (const item of failing) seen.push(item);
  }, /broke/);
  assert.deepEqual(seen, [1]);
});
