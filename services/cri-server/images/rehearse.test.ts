/** A rehearsal leaves nothing behind, waits for a quiet moment, and ends with the server. */
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { createLogger } from '#foundation/base/log.ts';
import { openTestImages } from '../../../test/hostile-images/harness.ts';
import { rehearseWhenIdle } from './rehearse.ts';

test('a rehearsal goes through all of a pull and leaves nothing', async () => {
  const told: string[] = [];
  const logger = createLogger('debug', { write: (line) => void told.push(line) });
  await using it = await openTestImages({ logger });
  const before = readdirSync(it.directory);
  const seen: string[] = [];
  it.images.board.watch(({ reference }) => seen.push(reference));
  await it.images.rehearse();
  assert.deepEqual(told, [], 'a failure would be told');
  assert.deepEqual(readdirSync(it.directory), before);
  assert.deepEqual([it.images.list(), it.store.records('image', 1).all()], [[], []]);
  assert.deepEqual(it.store.records('layer', 1).all(), []);
  assert.deepEqual(seen, [], 'nobody is told of a pull that is none');
  assert.deepEqual(it.images.usage(), { path: it.directory, bytes: 0, inodes: 0 });
  const stopped = new AbortController();
  stopped.abort(new Error('the server ends'));
  await it.images.rehearse(stopped.signal);
  assert.match(told.join(), /the server ends/, 'so a failure is seen here');
  assert.deepEqual(readdirSync(it.directory), before);
});

test('it begins when the process is idle, once, and the end of the server waits for it', async () => {
  const [calls, ended]: [AbortSignal[], boolean[]] = [[], []];
  let [looks, used] = [0, 0];
  const rehearse = async (signal: AbortSignal) => {
    calls.push(signal);
    assert.ok(looks > 6, 'it waits while there is work');
    while (!signal.aborted) await sleep(5);
    await sleep(20);
    ended.push(true);
  };
  const busyAtFirst = () => {
    looks += 1;
    if (looks <= 6) used += 1000;
    return used;
  };
  const rehearsal = rehearseWhenIdle(rehearse, { everyMs: 20, used: busyAtFirst });
  for (let wait = 0; calls.length === 0 && wait < 3000; wait += 1) await sleep(20);
  await sleep(200); // Longer than it takes to look again.
  assert.equal(calls.length, 1);
  await rehearsal[Symbol.asyncDispose]();
  assert.deepEqual([calls[0]?.aborted, ended], [true, [true]]);
});

test('one that has not begun is called off', async () => {
  const calls: AbortSignal[] = [];
  const rehearsal = rehearseWhenIdle(async (signal) => void calls.push(signal), { everyMs: 100 });
  await rehearsal[Symbol.asyncDispose]();
  await sleep(300);
  assert.deepEqual(calls, []);
});
