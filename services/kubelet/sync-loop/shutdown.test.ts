import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fakeClock } from '#foundation/base/fake-clock.ts';
import { silentLogger } from '#foundation/base/log.ts';
import type { KillHow } from '../ports.ts';
import { podOf } from '../testing/pods.ts';
import { createShutdown, shutdownGroups } from './shutdown.ts';

const pod = (name: string, priority: number, seconds = 30) =>
  podOf({ priority, terminationGracePeriodSeconds: seconds }, { name });

function fixture(kill: (name: string) => Promise<void>) {
  const clock = fakeClock();
  const killed: [string, KillHow][] = [];
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
  });
  return { clock, killed, shutdown };
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
