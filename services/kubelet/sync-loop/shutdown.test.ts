import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fakeClock } from '#foundation/base/fake-clock.ts';
import { silentLogger } from '#foundation/base/log.ts';
import type { KillHow } from '../ports.ts';
import { podOf } from '../testing/pods.ts';
import { createShutdown, shutdownGroups } from './shutdown.ts';

const pod = (name: string, priority: number, seconds = 30) =>
  podOf({ priority, terminationGracePeriodSeconds: seconds }, { name, uid: name });

function fixture(kill: (name: string) => Promise<void>) {
  const clock = fakeClock();
  const killed: [string, KillHow][] = [];
  const told: string[] = [];
  const held = new Set<string>();
  const shutdown = createShutdown({
    active: { activePods: () => [pod('low', 0), pod('high', 1000, 2), pod('critical', 2_000_000_000)] },
    control: {
      async killPod(target, how) {
        killed.push([target.metadata.name, how]);
        await kill(target.metadata.name);
      },
    },
    clock,
    logger: silentLogger,
    groups: shutdownGroups(30_000, 10_000),
    events: { node: (_type, reason, message) => void told.push(`${reason}: ${message}`) },
    held: async (uids) => {
      if (held.has('trouble')) throw new Error('too many open files');
      return new Set(uids.filter((uid) => held.has(uid)));
    },
    changed: () => void told.push('changed'),
  });
  return { clock, killed, told, held, shutdown };
}

test('critical pods end last, each within its group’s time', async () => {
  const { killed, shutdown } = fixture(async () => {});
  assert.equal(shutdown.begun(), false);
  await shutdown.begin();
  assert.deepEqual(
    killed.map(([name, { gracePeriodSeconds }]) => [name, gracePeriodSeconds]),
    [
      ['low', 20],
      ['high', 2],
      ['critical', 10],
    ],
  );
  assert.deepEqual(
    [killed[0]?.[1].reason, killed[0]?.[1].condition?.type],
    ['Terminated', 'DisruptionTarget'],
  );
  assert.equal(shutdown.begun(), true);
});

test('a pod that does not end does not keep the next group waiting for ever; a failing one is no failure', async () => {
  const { clock, killed, shutdown } = fixture((name) => {
    if (name === 'high') return Promise.reject(new Error('the runtime is away'));
    return name === 'low' ? new Promise(() => {}) : Promise.resolve();
  });
  const ended = shutdown.begin();
  await clock.advance(19_000);
  assert.equal(killed.length, 2);
  await clock.advance(1000);
  await ended;
  assert.deepEqual(
    killed.map(([name]) => name),
    ['low', 'high', 'critical'],
  );
});

test('the next group waits until the volumes of the last are gone, as long as there is time', async () => {
  const { clock, killed, held, shutdown } = fixture(async () => {});
  const low = pod('low', 0).metadata.uid ?? '';
  held.add(low);
  const ended = shutdown.begin();
  await clock.advance(5000);
  assert.deepEqual(
    killed.map(([name]) => name),
    ['low', 'high'],
  );
  held.clear();
  await clock.advance(100);
  await ended;
  assert.equal(killed.at(-1)?.[0], 'critical');
});

test('critical pods end also where nobody can tell whether the volumes of others are gone', async () => {
  const { killed, held, shutdown } = fixture(async () => {});
  held.add('trouble');
  await shutdown.begin();
  assert.equal(killed.at(-1)?.[0], 'critical');
});

test('its beginning and its end are told; after it was called off it can begin again', async () => {
  const { told, killed, shutdown } = fixture(async () => {});
  shutdown.callOff();
  assert.deepEqual(told, []);
  await shutdown.begin();
  assert.deepEqual(told.splice(0), ['NodeShutdown: Shutdown manager detected shutdown event', 'changed']);
  shutdown.callOff();
  assert.equal(shutdown.begun(), false);
  assert.deepEqual(told, ['NodeShutdown: Shutdown manager detected shutdown cancellation', 'changed']);
  await shutdown.begin();
  assert.equal(killed.length, 6);
});
