/** The figures of back-offs (kubelet-facts 2): 10 s doubling to 300 s, begun anew after more than 600 s. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type BackoffOptions, createBackoff } from './backoff.ts';

const original: BackoffOptions = { initialMs: 10_000, maxMs: 300_000, resetMs: 600_000 };

/** The delays in seconds of something that fails as soon as it was begun. */
function delays(options: BackoffOptions, count: number): number[] {
  const backoff = createBackoff(options);
  let now = 1_000_000;
  return Array.from({ length: count }, () => {
    const ms = backoff.remaining('k', now, now);
    now += ms;
    backoff.next('k', now - ms, now);
    return ms / 1000;
  });
}

const rows: [string, BackoffOptions, number[]][] = [
  ["the original's", original, [0, 10, 20, 40, 80, 160, 300, 300, 300]],
  [
    'a maximum of 1 s, the smallest that can be configured',
    { ...original, initialMs: 1000, maxMs: 1000 },
    [0, 1, 1],
  ],
  ['a maximum between two steps', { ...original, maxMs: 25_000 }, [0, 10, 20, 25, 25]],
];

for (const [what, options, expected] of rows)
  test(`delays: ${what}`, () => assert.deepEqual(delays(options, expected.length), expected));

test('a run of more than 600 s begins anew, one of exactly 600 s does not', () => {
  const begun = createBackoff(original);
  for (const at of [0, 10_000]) begun.next('k', at, at);
  assert.equal(begun.delay('k'), 20_000);
  assert.equal(begun.remaining('k', 610_000, 610_000), 20_000);
  assert.equal(begun.remaining('k', 610_001, 610_001), 0);
  begun.next('k', 610_001, 610_001);
  assert.equal(begun.delay('k'), 10_000);
});

test('the delay counts from the event, whatever the clock does', () => {
  const backoff = createBackoff(original);
  backoff.next('k', 0, 0);
  for (const [now, left] of [
    [0, 10_000],
    [4000, 6000],
    [10_000, 0],
    [3_600_000, 0],
    [-3_600_000, 10_000],
  ] as const)
    assert.equal(backoff.remaining('k', 0, now), left, `at ${now}`);
});

test('keys have their own; forgotten ones and those that nobody touched begin anew', () => {
  const backoff = createBackoff(original);
  for (const key of ['a', 'b', 'c']) backoff.next(key, 0, 0);
  backoff.next('c', 0, 600_000);
  backoff.forget('a');
  assert.deepEqual(['a', 'b', 'c', 'd'].map(backoff.delay), [0, 10_000, 20_000, 0]);
  backoff.collect(1_200_000);
  assert.equal(backoff.delay('b'), 10_000, 'twice the time that counts is not over');
  backoff.collect(1_200_001);
  assert.deepEqual(['b', 'c'].map(backoff.delay), [0, 20_000]);
});
