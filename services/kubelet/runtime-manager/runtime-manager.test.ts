/** Hashes, back-offs, grace periods and the order of stopping. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import type { Pod } from '#contracts/kubernetes/types.ts';
import { fakeClock } from '#foundation/base/fake-clock.ts';
import { podOf, record, runtimeOf } from '../testing/pods.ts';
import { createBackoff } from './backoff.ts';
import { durationText, heedRestartBackoff, restartKey } from './crash-loop.ts';
import { containerHash, fnv64a } from './hash.ts';
import { graceSeconds } from './kill-container.ts';
import { tailOfLog } from './log-tail.ts';
import { StartError } from './start-error.ts';
import { createStopTurns } from './stop-turns.ts';

test("the hash of a container is the original's", () => {
  assert.equal(containerHash({ name: 'nginx', image: 'nginx:1.27' }), '91edee8f');
  assert.notEqual(containerHash({ name: 'nginx', image: 'nginx:1.28' }), '91edee8f');
});

test('FNV-1a 64 as published', () => {
  assert.equal(fnv64a(''), 'cbf29ce484222325');
  assert.equal(fnv64a('a'), 'af63dc4c8601ec8c');
});

/** Starts, crashes at once and starts again: the waits between. */
async function waits(count: number, runSeconds: number): Promise<number[]> {
  const clock = fakeClock();
  const backoff = createBackoff({ initialMs: 10_000, maxMs: 300_000, resetMs: 600_000 });
  const deps = { backoff, clock, events: { pod: () => {}, node: () => {} } };
  const pod = podOf();
  const container = { name: 'a', image: 'img' };
  const found: number[] = [];
  for (let index = 0; index < count; index += 1) {
    await clock.advance(runSeconds * 1000);
    const status = runtimeOf([record('a exited 1', { finishedAt: clock.now() })]);
    let waited = 0;
    for (;;) {
      try {
        heedRestartBackoff(deps, pod, container, status);
        break;
      } catch (error) {
        assert.ok(error instanceof StartError && error.reason === 'CrashLoopBackOff');
        waited += error.retryAfterMs ?? 0;
        await clock.advance(error.retryAfterMs ?? 0);
      }
    }
    found.push(waited / 1000);
  }
  return found;
}

test('crash loop: at once, then 10 s doubling to 300 s', async () => {
  assert.deepEqual(await waits(8, 0), [0, 10, 20, 40, 80, 160, 300, 300]);
});

test('crash loop: a run of more than ten minutes begins anew', async () => {
  assert.deepEqual(await waits(4, 601), [0, 0, 0, 0]);
});

test('crash loop: the wait is counted from the end of the container', async () => {
  const clock = fakeClock();
  const backoff = createBackoff({ initialMs: 10_000, maxMs: 300_000, resetMs: 600_000 });
  backoff.next('k', clock.now(), clock.now());
  const ended = clock.now();
  await clock.advance(4000);
  assert.equal(backoff.remaining('k', ended, clock.now()), 6000);
  // A clock that jumped back an hour must not add the hour.
  assert.equal(backoff.remaining('k', clock.now() + 3_600_000, clock.now()), 0);
});

test('crash loop: changed resources have a back-off of their own', () => {
  const key = (limits: Record<string, string>) =>
    restartKey(podOf(), { name: 'a', image: 'img', resources: { limits } });
  assert.notEqual(key({ cpu: '1' }), key({ cpu: '2' }));
});

test('durations as the original prints them', () => {
  assert.deepEqual([10_000, 80_000, 300_000].map(durationText), ['10s', '1m20s', '5m0s']);
});

const graceRows: [string, Pod, Partial<Parameters<typeof graceSeconds>[0]>, number][] = [
  ['the default', podOf(), {}, 30],
  ["the spec's", podOf({ terminationGracePeriodSeconds: 7 }), {}, 7],
  [
    "the deletion's before the spec's",
    podOf({ terminationGracePeriodSeconds: 7 }, { deletionGracePeriodSeconds: 3 }),
    {},
    3,
  ],
  [
    "the probe's when the probe is the cause",
    podOf({ terminationGracePeriodSeconds: 7 }),
    {
      reason: 'liveness-probe',
      container: { name: 'a', livenessProbe: { terminationGracePeriodSeconds: 4 } },
    },
    4,
  ],
  [
    "not the probe's for another cause",
    podOf({ terminationGracePeriodSeconds: 7 }),
    { container: { name: 'a', livenessProbe: { terminationGracePeriodSeconds: 4 } } },
    7,
  ],
  ['an override replaces all', podOf({}, { deletionGracePeriodSeconds: 3 }), { graceOverride: 1 }, 1],
];

for (const [rule, pod, how, seconds] of graceRows) {
  test(`grace period: ${rule}`, () => {
    assert.equal(graceSeconds({ pod, container: undefined, reason: 'other', ...how }), seconds);
  });
}

test('sidecars end after the regular containers, in the reverse order of the spec', async () => {
  const sidecar = (name: string) => ({ name, image: 'img', restartPolicy: 'Always' });
  const pod = podOf({ initContainers: [sidecar('s1'), sidecar('s2')] });
  const turns = createStopTurns(pod, ['a', 's1', 's2']);
  const order: string[] = [];
  const end = async (name: string) => {
    await turns.wait(name, 10_000, new AbortController().signal);
    order.push(name);
    turns.ended(name);
  };
  await Promise.all([end('s1'), end('s2'), end('a')]);
  assert.deepEqual(order, ['a', 's2', 's1']);
});

test('a sidecar waits no longer than its grace period', async () => {
  const pod = podOf({ initContainers: [{ name: 's', image: 'img', restartPolicy: 'Always' }] });
  const turns = createStopTurns(pod, ['a', 's']);
  const start = performance.now();
  await turns.wait('s', 30, new AbortController().signal);
  assert.ok(performance.now() - start < 5000);
});

test('the end of a log for the termination message', async () => {
  const directory = mkdtempSync('/tmp/skiff-log-');
  const path = join(directory, '0.log');
  const head = '2026-01-01T00:00:00.000000000Z stderr';
  writeFileSync(path, `${head} F one\n${head} P tw\n${head} F o\nnot a log line\n${head} F three\n`);
  assert.equal(await tailOfLog(path, 80, 2048), 'one\ntwo\nthree\n');
  assert.equal(await tailOfLog(path, 1, 2048), 'three\n');
  assert.equal(await tailOfLog(path, 80, 4), 'ree\n');
  assert.equal(await tailOfLog(join(directory, 'none'), 80, 2048), '');
  rmSync(directory, { recursive: true });
});
