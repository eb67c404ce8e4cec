import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { writeBehind } from './write-behind.ts';

const mebibyte = 2 ** 20;

test('a pull is written out in stretches, one at a time, and the end waits for the last', async () => {
  const ends: PromiseWithResolvers<void>[] = [];
  const behind = writeBehind(() => {
    const end = Promise.withResolvers<void>();
    ends.push(end);
    return end.promise;
  });
  behind.unpacked(63 * mebibyte);
  assert.equal(ends.length, 0, 'too little to be worth it');
  behind.unpacked(mebibyte);
  behind.unpacked(100 * mebibyte);
  assert.equal(ends.length, 1, 'one at a time');
  ends[0]?.resolve();
  await nextTurn();
  assert.equal(ends.length, 2, 'what came meanwhile');
  behind.unpacked(100 * mebibyte);
  let isOver = false;
  const over = behind.settled().then(() => {
    isOver = true;
  });
  await nextTurn();
  assert.equal(isOver, false);
  ends[1]?.resolve();
  await over;
  assert.equal(ends.length, 2, 'the rest is for the final sync');
});

test('what could not be written behind fails the pull', async () => {
  const behind = writeBehind(() => Promise.reject(new Error('the disk failed')));
  behind.unpacked(64 * mebibyte);
  await nextTurn();
  await assert.rejects(behind.settled(), /the disk failed/);
  await assert.rejects(behind.settled(), /the disk failed/, 'the kernel tells it once, so it is remembered');
});
