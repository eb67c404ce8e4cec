import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isSkiffError } from './errors.ts';
import { nowNanos, systemClock, withDeadline } from './time.ts';

test('a deadline ends work that ignores its signal, and tells it', async () => {
  let told = false;
  const work = (signal: AbortSignal) => {
    signal.addEventListener('abort', () => {
      told = true;
    });
    return new Promise<never>(() => {});
  };
  await assert.rejects(withDeadline('Stopping', 10, work), (error) => {
    return isSkiffError(error, 'DEADLINE_EXCEEDED') && error.message === 'Stopping took longer than 10 ms';
  });
  assert.ok(told);
});

test("the caller's signal cancels, and work that ends in time is passed on", async () => {
  const caller = AbortSignal.abort();
  const never = () => new Promise<never>(() => {});
  await assert.rejects(withDeadline('X', 1000, never, caller), (error) => isSkiffError(error, 'CANCELLED'));
  assert.equal(await withDeadline('X', 1000, async () => 7), 7);
});

test('nanoseconds are those of the wall clock; a sleep can be cut short', async () => {
  assert.ok(Math.abs(Number(nowNanos() / 1_000_000n) - Date.now()) < 1000);
  await assert.rejects(systemClock.sleep(10_000, AbortSignal.abort(new Error('up'))), /up/);
});

test('a sleep and a deadline of a month do not end at once', async () => {
  const month = 31 * 24 * 3600 * 1000;
  const stop = new AbortController();
  const sleeps = [month, Number.POSITIVE_INFINITY].map((ms) => systemClock.sleep(ms, stop.signal));
  const work = () => systemClock.sleep(50).then(() => 'done');
  assert.equal(await withDeadline('Waiting', month, work), 'done');
  stop.abort(new Error('enough'));
  for (const sleep of sleeps) await assert.rejects(sleep, /enough/);
});
