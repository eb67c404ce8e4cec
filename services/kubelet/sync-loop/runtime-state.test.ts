/** When the runtime counts as unhealthy (kubelet-facts 2): not heard of for 30 s, not listed for 3 min, or as it says. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SkiffError } from '#foundation/base/errors.ts';
import { fakeClock } from '#foundation/base/fake-clock.ts';
import { createRuntimeState } from './runtime-state.ts';

function setup() {
  const clock = fakeClock();
  const told = {
    runtime: { type: 'RuntimeReady', status: true, reason: '', message: '' },
    network: { type: 'NetworkReady', status: true, reason: '', message: '' },
    conditions: undefined as object[] | undefined,
    error: undefined as SkiffError | undefined,
    versions: 0,
    relisted: 0 as number | undefined,
  };
  const runtime = {
    async version() {
      if (told.error !== undefined) throw told.error;
      told.versions += 1;
      return { runtimeName: 'some', runtimeVersion: `v${told.versions}` };
    },
    async status() {
      if (told.error !== undefined) throw told.error;
      const conditions = told.conditions ?? [told.runtime, told.network];
      return { status: { conditions }, runtimeHandlers: [{ name: 'x', features: { userNamespaces: true } }] };
    },
  };
  const state = createRuntimeState({ runtime: runtime as never, clock, lastRelist: () => told.relisted });
  return { clock, told, state };
}

test('before it was asked the runtime is not ready', () => {
  const { state } = setup();
  assert.match(state.runtimeErrors()[0] ?? '', /may not have completed yet/);
});

test('silence is forgiven for 30 seconds', async () => {
  const { clock, told, state } = setup();
  await state.poll();
  assert.deepEqual(state.runtimeErrors(), []);
  told.error = new SkiffError('UNAVAILABLE', 'nobody there');
  await clock.advance(30_000);
  await state.poll();
  assert.deepEqual(state.runtimeErrors(), []);
  await clock.advance(1);
  await state.poll();
  assert.deepEqual(state.runtimeErrors(), ['container runtime is down: nobody there']);
  told.error = undefined;
  await state.poll();
  assert.deepEqual(state.runtimeErrors(), []);
  assert.equal(state.version(), 'some://v2', 'a runtime that was away may be another');
});

test('a runtime that could not be listed for three minutes is unhealthy', async () => {
  const { clock, told, state } = setup();
  await state.poll();
  await clock.advance(180_000);
  assert.deepEqual(state.runtimeErrors(), []);
  await clock.advance(1000);
  assert.deepEqual(state.runtimeErrors(), ['PLEG is not healthy: pleg was last seen active 181s ago']);
  told.relisted = 181_000;
  assert.deepEqual(state.runtimeErrors(), []);
});

test('what it says of itself and of its network counts at once', async () => {
  const { told, state } = setup();
  told.network = { type: 'NetworkReady', status: false, reason: 'NoCni', message: 'no configuration' };
  await state.poll();
  assert.deepEqual([state.runtimeErrors(), state.networkErrors()], [[], ['NoCni: no configuration']]);
  told.conditions = [];
  await state.poll();
  assert.match(state.runtimeErrors()[0] ?? '', /RuntimeReady condition is missing/);
  assert.deepEqual(state.features().handlers, [
    { name: 'x', recursiveReadOnlyMounts: false, userNamespaces: true },
  ]);
});
