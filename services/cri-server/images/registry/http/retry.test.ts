import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SkiffError } from '#foundation/base/errors.ts';
import type { Clock } from '#foundation/base/time.ts';
import { type Attempt, backoffMs, retryAfterMs, withRetries } from './retry.ts';

const limits = { backoffMs: 100, maxBackoffMs: 1000 };

function setUp(attempts: number) {
  const slept: number[] = [];
  const clock: Clock = {
    now: () => Date.parse('2026-01-01T00:00:00Z'),
    monotonic: () => 0,
    sleep: async (ms) => void slept.push(ms),
  };
  return { slept, policy: { what: 'pull x', attempts, clock, limits } };
}

const failed: Attempt<string> = { retry: new SkiffError('UNKNOWN', 'not now') };

function inTurn(...results: Attempt<string>[]): () => Promise<Attempt<string>> {
  return async () => results.shift() ?? assert.fail('one attempt too many');
}

test('pauses double, each up to a quarter shorter, up to a limit', async () => {
  const { slept, policy } = setUp(7);
  const all = [failed, failed, failed, failed, failed, failed, { done: 'yes' }];
  assert.equal(await withRetries(policy, inTurn(...all)), 'yes');
  for (const [index, full] of [100, 200, 400, 800, 1000, 1000].entries()) {
    const pause = slept[index] ?? 0;
    assert.ok(pause <= full && pause >= full * 0.75, `${pause} is not about ${full}`);
  }
  assert.ok(backoffMs(limits, 1000) <= 1000);
});

test('the last failure is thrown when the attempts are used up', async () => {
  const { slept, policy } = setUp(2);
  await assert.rejects(withRetries(policy, inTurn(failed, failed)), /not now/);
  assert.equal(slept.length, 1);
});

test('the server decides on the pause, unless it asks for too long a one', async () => {
  const { slept, policy } = setUp(3);
  await withRetries(policy, inTurn({ ...failed, afterMs: 900 }, { done: '' }));
  assert.deepEqual(slept, [900]);
  await assert.rejects(withRetries(policy, inTurn({ ...failed, afterMs: 1001 })), /not now/);
});

test('Retry-After is read in both forms', () => {
  const { clock } = setUp(1).policy;
  const read = (value?: string) => retryAfterMs({ 'retry-after': value }, clock);
  assert.equal(read('120'), 120_000);
  assert.equal(read('Thu, 01 Jan 2026 00:00:30 GMT'), 30_000);
  assert.equal(read('Thu, 01 Jan 2015 00:00:30 GMT'), 0);
  assert.equal(read('-1'), 0);
  assert.equal(read('soon'), undefined);
  assert.equal(read(undefined), undefined);
});
