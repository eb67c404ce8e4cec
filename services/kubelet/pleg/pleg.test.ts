/** The pod lifecycle event generator over a runtime in memory. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fakeClock } from '#foundation/base/fake-clock.ts';
import { silentLogger } from '#foundation/base/log.ts';
import { Exited, fakeRuntime, Running } from '../testing/runtime.ts';
import { diffPod } from './events.ts';
import { createPleg } from './pleg.ts';

function fixture(evented = false) {
  const clock = fakeClock();
  const runtime = fakeRuntime();
  runtime.evented = evented;
  const times = { relistMs: 1000, eventedRelistMs: 10_000 };
  const pleg = createPleg({ runtime: runtime.calls, clock, logger: silentLogger, evented: true, ...times });
  const events: string[] = [];
  pleg.subscribe((news) => events.push(...news.map(({ uid, kind }) => `${uid} ${kind}`)));
  const lists = () => runtime.log.filter((each) => each === 'listContainers').length;
  return { clock, runtime, pleg, events, lists };
}

test('starts, ends and removals are told; what does not change is not asked about', async () => {
  const { clock, runtime, pleg, events } = fixture();
  runtime.set('u', 'a', Running);
  void pleg.start();
  await clock.advance(0);
  assert.deepEqual(events, ['u started', 'u started']);
  assert.equal(pleg.cached('u')?.containers[0]?.state, 'running');
  runtime.log.splice(0);
  await clock.advance(3000);
  assert.deepEqual(new Set(runtime.log), new Set(['listPodSandbox', 'listContainers']));
  runtime.set('u', 'a', Exited);
  await clock.advance(1000);
  assert.deepEqual(events.slice(2), ['u died']);
  runtime.remove('u');
  await clock.advance(1000);
  assert.deepEqual(events.slice(3).sort(), ['u died', 'u removed', 'u removed']);
  assert.equal(pleg.cached('u'), undefined);
  await pleg.stop();
});

test('a fresh status is asked for only when the known one is too old', async () => {
  const { clock, runtime, pleg } = fixture();
  runtime.set('u', 'a', Running);
  void pleg.start();
  await clock.advance(0);
  runtime.log.splice(0);
  await pleg.fresh('u', 0);
  await pleg.fresh('unknown', 0);
  assert.equal(runtime.log.length, 0);
  const status = await pleg.fresh('u', clock.monotonic() + 1);
  assert.equal(status.containers.length, 1);
  assert.ok(runtime.log.includes('containerStatus'));
  await pleg.stop();
});

test('an ended container is not asked about again', async () => {
  const { clock, runtime, pleg } = fixture();
  runtime.set('u', 'a', Exited);
  runtime.set('u', 'b', Running);
  void pleg.start();
  await clock.advance(0);
  runtime.log.splice(0);
  runtime.set('u', 'b', Exited);
  await clock.advance(1000);
  assert.equal(runtime.log.filter((each) => each === 'containerStatus').length, 1);
  await pleg.stop();
});

test('a runtime that is away is asked again; nothing is taken for gone meanwhile', async () => {
  const { clock, runtime, pleg, events } = fixture();
  runtime.set('u', 'a', Running);
  void pleg.start();
  await clock.advance(0);
  runtime.fail('listContainers');
  await clock.advance(5000);
  assert.equal(events.length, 2);
  assert.equal(pleg.cached('u')?.containers.length, 1);
  runtime.fail(undefined);
  runtime.set('u', 'a', Exited);
  await clock.advance(2000);
  assert.deepEqual(events.slice(2), ['u died']);
  await pleg.stop();
});

test('details that could not be had are asked for again', async () => {
  const { clock, runtime, pleg } = fixture();
  runtime.set('u', 'a', Running);
  runtime.fail('containerStatus');
  void pleg.start();
  await clock.advance(0);
  assert.equal(pleg.cached('u'), undefined);
  runtime.fail(undefined);
  await clock.advance(1000);
  assert.equal(pleg.cached('u')?.containers.length, 1);
  await pleg.stop();
});

test('with an event stream: told at once, relisted seldom', async () => {
  const { clock, runtime, pleg, events, lists } = fixture(true);
  runtime.set('u', 'a', Running);
  void pleg.start();
  await clock.advance(3000);
  const before = lists();
  runtime.set('u', 'a', Exited);
  runtime.tell('u');
  runtime.tell('u');
  await clock.advance(10);
  assert.deepEqual(events.slice(2), ['u died']);
  await clock.advance(9000);
  assert.ok(lists() - before <= 2, `${lists() - before} lists in nine seconds`);
  // What no event told is found all the same.
  runtime.set('u', 'b', Running);
  await clock.advance(11_000);
  assert.deepEqual(events.slice(3), ['u started']);
  await pleg.stop();
});

test('a runtime without an event stream is relisted', async () => {
  const { clock, runtime, pleg, lists } = fixture(false);
  void pleg.start();
  await clock.advance(5000);
  assert.equal(lists(), 6);
  assert.equal(runtime.log.filter((each) => each === 'getContainerEvents').length, 1);
  await pleg.stop();
});

test('the difference of two lists', () => {
  const pod = (state: 'running' | 'exited' | 'created') => ({
    uid: 'u',
    name: '',
    namespace: '',
    sandboxes: [],
    containers: [{ id: 'c', name: 'a', sandboxId: '', state, attempt: 0, createdAt: 0 }],
  });
  const kinds = (before: Parameters<typeof diffPod>[1], after: Parameters<typeof diffPod>[2]) =>
    diffPod('u', before, after).map(({ kind }) => kind);
  assert.deepEqual(kinds(undefined, pod('running')), ['started']);
  assert.deepEqual(kinds(undefined, pod('created')), ['created']);
  assert.deepEqual(kinds(pod('running'), pod('running')), []);
  assert.deepEqual(kinds(pod('running'), pod('exited')), ['died']);
  assert.deepEqual(kinds(pod('running'), undefined), ['died', 'removed']);
  assert.deepEqual(kinds(pod('exited'), undefined), ['removed']);
});
