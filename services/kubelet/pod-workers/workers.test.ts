/** The life of a pod's worker, with a fake clock and a syncer that records what it was asked. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Pod } from '#contracts/kubernetes/types.ts';
import { SkiffError } from '#foundation/base/errors.ts';
import { fakeClock } from '#foundation/base/fake-clock.ts';
import { silentLogger } from '#foundation/base/log.ts';
import { emptyStatus, type RuntimePodStatus } from '../runtime-manager/model.ts';
import { StartError } from '../runtime-manager/start-error.ts';
import { podOf, runtimeOf } from '../testing/pods.ts';
import { effectiveGrace } from './grace.ts';
import { defaultRequeueTimes, requeueDelay, SyncError } from './requeue.ts';
import { createPodWorkers, type PodSyncer } from './workers.ts';

function fixture(overrides: Partial<PodSyncer> = {}, status?: RuntimePodStatus) {
  const clock = fakeClock();
  const calls: string[] = [];
  const graces: number[] = [];
  const asked: number[] = [];
  const syncer: PodSyncer = {
    async sync({ pod }, _, signal) {
      calls.push(`sync ${pod.metadata.uid}`);
      return overrides.sync === undefined
        ? { terminal: false, changed: false }
        : overrides.sync({ kind: 'sync', pod }, emptyStatus('', 0), signal);
    },
    async terminate(pod, has, how, signal) {
      calls.push(`terminate ${pod.metadata.uid}${how.orphan ? ' orphan' : ''}`);
      graces.push(how.graceSeconds);
      await overrides.terminate?.(pod, has, how, signal);
    },
    async finish(pod, has, signal) {
      calls.push(`finish ${pod.metadata.uid}`);
      await overrides.finish?.(pod, has, signal);
    },
  };
  const workers = createPodWorkers({
    syncer,
    fresh: async (uid, since) => {
      asked.push(since);
      return status ?? emptyStatus(uid, clock.monotonic());
    },
    clock,
    logger: silentLogger,
    times: defaultRequeueTimes,
    random: () => 0,
  });
  return { clock, calls, graces, asked, workers };
}

const deleted = (pod: Pod, seconds: number): Pod => ({
  ...pod,
  metadata: {
    ...pod.metadata,
    deletionTimestamp: '2026-01-01T00:00:00Z',
    deletionGracePeriodSeconds: seconds,
  },
});
const named = (uid: string, source?: string) =>
  podOf(
    {},
    { uid, ...(source === undefined ? {} : { annotations: { 'kubernetes.io/config.source': source } }) },
  );

test('a pod is synced, again after the sync period, and ends when it is deleted', async () => {
  const { clock, calls, graces, workers } = fixture();
  const pod = named('u');
  workers.update({ kind: 'create', pod });
  await clock.advance(0);
  assert.deepEqual(calls, ['sync u']);
  await clock.advance(60_000);
  assert.deepEqual(calls, ['sync u', 'sync u']);
  workers.update({ kind: 'update', pod: deleted(pod, 7) });
  await clock.advance(0);
  assert.deepEqual(calls.slice(2), ['terminate u', 'finish u']);
  assert.deepEqual(graces, [7]);
  assert.equal(workers.get('u')?.state.phase, 'finished');
  workers.update({ kind: 'sync', pod });
  await clock.advance(120_000);
  assert.equal(calls.length, 4);
});

test('the newest of several updates wins, and no two syncs of a pod overlap', async () => {
  let running = 0;
  const gate = Promise.withResolvers<void>();
  const seen: string[] = [];
  const { clock, workers } = fixture({
    async sync({ pod }) {
      running += 1;
      assert.equal(running, 1);
      seen.push(pod.metadata.labels?.n ?? '');
      if (seen.length === 1) await gate.promise;
      running -= 1;
      return { terminal: false, changed: false };
    },
  });
  for (const n of ['1', '2', '3']) {
    workers.update({ kind: 'update', pod: podOf({}, { labels: { n } }) });
    await clock.advance(0);
  }
  gate.resolve();
  await clock.advance(0);
  assert.deepEqual(seen, ['1', '3']);
});

test('a sync looks at a state newer than its last action, at once when it did something', async () => {
  let changed = true;
  const { clock, asked, calls, workers } = fixture({
    async sync() {
      const outcome = { terminal: false, changed };
      changed = false;
      await clock.sleep(100);
      return outcome;
    },
  });
  const pod = named('u');
  workers.update({ kind: 'create', pod });
  await clock.advance(5000);
  assert.deepEqual(calls, ['sync u', 'sync u']);
  workers.update({ kind: 'sync', pod });
  await clock.advance(1000);
  assert.deepEqual(asked, [0, 100, 100]);
});

test('a deletion interrupts the sync under way', async () => {
  const { clock, calls, workers } = fixture({
    sync: (_, __, signal) =>
      new Promise((_resolve, reject) => {
        signal.addEventListener('abort', () => reject(signal.reason), { once: true });
      }),
  });
  workers.update({ kind: 'create', pod: named('u') });
  await clock.advance(0);
  workers.update({ kind: 'update', pod: deleted(named('u'), 5) });
  await clock.advance(0);
  assert.deepEqual(calls, ['sync u', 'terminate u', 'finish u']);
});

test('a grace period may only shrink, and shrinking interrupts the stop', async () => {
  const { clock, graces, workers } = fixture({
    terminate: (_pod, _status, how, signal) =>
      how.graceSeconds <= 2
        ? Promise.resolve()
        : new Promise((_resolve, reject) => {
            signal.addEventListener('abort', () => reject(signal.reason), { once: true });
          }),
  });
  const pod = named('u');
  workers.update({ kind: 'create', pod });
  await clock.advance(0);
  workers.update({ kind: 'update', pod: deleted(pod, 30) });
  await clock.advance(0);
  workers.update({ kind: 'update', pod: deleted(pod, 50) });
  await clock.advance(0);
  assert.deepEqual(graces, [30]);
  workers.update({ kind: 'update', pod: deleted(pod, 2) });
  await clock.advance(0);
  assert.deepEqual(graces, [30, 2]);
  assert.equal(workers.get('u')?.state.phase, 'finished');
});

test('a failed stop is tried again', async () => {
  let tries = 0;
  const { clock, calls, workers } = fixture({
    async terminate() {
      tries += 1;
      if (tries < 3) throw new Error('the runtime is away');
    },
  });
  workers.update({ kind: 'create', pod: named('u') });
  await clock.advance(0);
  workers.update({ kind: 'kill', pod: named('u') });
  await clock.advance(25_000);
  assert.deepEqual(calls.slice(1), ['terminate u', 'terminate u', 'terminate u', 'finish u']);
});

test('a pod whose containers are done is ended and finished', async () => {
  const { clock, calls, workers } = fixture({ sync: async () => ({ terminal: true, changed: false }) });
  workers.update({ kind: 'create', pod: named('u') });
  await clock.advance(0);
  assert.deepEqual(calls, ['sync u', 'terminate u', 'finish u']);
});

test('a pod that was over before the kubelet started goes straight to its end', async () => {
  const { clock, calls, workers } = fixture({}, runtimeOf(['a exited 0']));
  workers.update({ kind: 'create', pod: { ...named('u'), status: { phase: 'Succeeded' } } });
  await clock.advance(0);
  assert.deepEqual(calls, ['finish u']);
});

test('an orphan is only stopped, within a second', async () => {
  const { clock, calls, graces, workers } = fixture();
  workers.update({ kind: 'kill', pod: named('u'), orphan: true });
  await clock.advance(0);
  assert.deepEqual([calls, graces], [['terminate u orphan'], [1]]);
  assert.equal(workers.get('u')?.state.phase, 'finished');
});

test('the same UID again while ending: begins anew once it was forgotten', async () => {
  const { clock, calls, workers } = fixture();
  const pod = named('u', 'file');
  workers.update({ kind: 'create', pod });
  await clock.advance(0);
  workers.update({ kind: 'kill', pod });
  workers.update({ kind: 'create', pod });
  await clock.advance(0);
  assert.equal(workers.get('u')?.restartRequested, true);
  workers.forget('u');
  workers.update({ kind: 'create', pod });
  await clock.advance(0);
  assert.deepEqual(calls, ['sync u', 'terminate u', 'finish u', 'sync u']);
});

test('a changed static pod waits until the one before it has finished', async () => {
  const gate = Promise.withResolvers<void>();
  const { clock, calls, workers } = fixture({ terminate: () => gate.promise });
  workers.update({ kind: 'create', pod: named('old', 'file') });
  await clock.advance(0);
  workers.update({ kind: 'kill', pod: named('old', 'file') });
  workers.update({ kind: 'create', pod: named('new', 'file') });
  await clock.advance(0);
  assert.deepEqual(calls, ['sync old', 'terminate old']);
  gate.resolve();
  await clock.advance(0);
  assert.deepEqual(calls.slice(2), ['finish old', 'sync new']);
});

test('pods of the API do not wait for one another', async () => {
  const { clock, calls, workers } = fixture({ terminate: () => new Promise(() => {}) });
  workers.update({ kind: 'kill', pod: named('old') });
  workers.update({ kind: 'create', pod: named('new') });
  await clock.advance(0);
  assert.deepEqual(calls, ['terminate old', 'sync new']);
});

test('whoever kills a pod hears when its containers are gone', async () => {
  const { clock, workers } = fixture();
  workers.update({ kind: 'create', pod: named('u') });
  await clock.advance(0);
  workers.update({ kind: 'kill', pod: named('u'), kill: { reason: 'Evicted', message: 'm' } });
  await workers.stopped('u');
  assert.notEqual(workers.get('u')?.state.phase, 'syncing');
});

const graceRows: [string, Pod, Parameters<typeof effectiveGrace>[1], number | undefined, boolean, number][] =
  [
    ["the spec's", podOf({ terminationGracePeriodSeconds: 20 }), undefined, undefined, false, 20],
    ['at least one second', podOf({ terminationGracePeriodSeconds: 0 }), undefined, undefined, false, 1],
    [
      'the shorter of deletion and kill',
      podOf({}, { deletionGracePeriodSeconds: 9 }),
      { reason: '', message: '', gracePeriodSeconds: 4 },
      undefined,
      false,
      4,
    ],
    ['never longer than before', podOf({}, { deletionGracePeriodSeconds: 9 }), undefined, 3, false, 3],
    ['orphans', podOf(), undefined, undefined, true, 1],
  ];

for (const [rule, pod, kill, before, orphan, seconds] of graceRows) {
  test(`grace of a pod: ${rule}`, () => assert.equal(effectiveGrace(pod, kill, { orphan, before }), seconds));
}

const backoff = (ms: number) => new StartError('CrashLoopBackOff', '', { retryAfterMs: ms });
const requeueRows: [string, unknown, number, number][] = [
  ['after a success', undefined, 0, 60_000],
  ['spread by half', undefined, 1, 90_000],
  ['after an error', new Error('x'), 0, 10_000],
  ['network not ready', new SkiffError('UNAVAILABLE', 'NetworkPluginNotReady: x'), 0, 1000],
  ['the earliest back-off', new SyncError([backoff(7000), backoff(3000)], 'x'), 0, 3000],
  ['never later than a sync', new SyncError([backoff(300_000)], 'x'), 0, 60_000],
  ['a back-off beside an error', new SyncError([backoff(3000), new Error('x')], 'x'), 0, 10_000],
];

for (const [rule, error, random, ms] of requeueRows) {
  test(`next sync: ${rule}`, () => assert.equal(requeueDelay(error, defaultRequeueTimes, random), ms));
}
