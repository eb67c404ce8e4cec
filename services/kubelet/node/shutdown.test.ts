import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import type { Pod } from '#contracts/kubernetes/types.ts';
import { silentLogger } from '#foundation/base/log.ts';
import { withDefaults } from '../configuration/defaults.ts';
import { createShutdownManager, grouped, shutdownGroups } from './shutdown.ts';

const podOf = (name: string, priority: number, grace = 30): Pod => ({
  metadata: { name, uid: name },
  spec: { priority, terminationGracePeriodSeconds: grace, containers: [] },
});

test('groups of a configuration', () => {
  assert.deepEqual(shutdownGroups(withDefaults({}, true)), []);
  const plain = withDefaults({ shutdownGracePeriod: '30s', shutdownGracePeriodCriticalPods: '10s' }, true);
  assert.deepEqual(shutdownGroups(plain), [
    { priority: 0, seconds: 20 },
    { priority: 2_000_000_000, seconds: 10 },
  ]);
  const listed = [
    { priority: 1000, shutdownGracePeriodSeconds: 5 },
    { priority: 0, shutdownGracePeriodSeconds: 60 },
  ];
  const groups = shutdownGroups(withDefaults({ shutdownGracePeriodByPodPriority: listed }, true));
  assert.deepEqual(
    groups.map(({ priority }) => priority),
    [0, 1000],
  );
  const members = grouped(groups, [podOf('low', -5), podOf('mid', 999), podOf('high', 5000)]);
  assert.deepEqual(
    members.map(([, pods]) => pods.map(({ metadata }) => metadata.name)),
    [['low', 'mid'], ['high']],
  );
});

test('pods end by priority, then the machine may go; a shutdown called off leaves the node ready', async () => {
  let tell: (starting: boolean) => void = () => {};
  const log: string[] = [];
  const gates = new Map<string, PromiseWithResolvers<void>>();
  const manager = createShutdownManager({
    groups: [
      { priority: 0, seconds: 20 },
      { priority: 100, seconds: 10 },
    ],
    source: async (onShutdown) => {
      tell = onShutdown;
      return { release: () => void log.push('release'), close: () => void log.push('close') };
    },
    pods: { activePods: () => [podOf('db', 100), podOf('web', 0, 5), podOf('job', 0, 60)] },
    control: {
      killPod: async (pod, how) => {
        log.push(`${pod.metadata.name} ${how.gracePeriodSeconds} ${how.reason} ${how.condition?.type}`);
        const gate = Promise.withResolvers<void>();
        gates.set(pod.metadata.name, gate);
        await gate.promise;
      },
    },
    log: silentLogger,
  });
  await manager.start();
  assert.equal(manager.shuttingDown(), undefined);
  tell(true);
  tell(true);
  await turn();
  assert.equal(manager.shuttingDown(), 'node is shutting down');
  assert.deepEqual(log, ['web 5 Terminated DisruptionTarget', 'job 20 Terminated DisruptionTarget']);
  gates.get('web')?.resolve();
  gates.get('job')?.reject(new Error('stuck'));
  for (let turns = 0; turns < 5; turns++) await turn();
  assert.deepEqual(log.slice(2), ['db 10 Terminated DisruptionTarget']);
  gates.get('db')?.resolve();
  for (let turns = 0; turns < 5; turns++) await turn();
  assert.deepEqual(log.slice(3), ['release']);
  tell(false);
  assert.equal(manager.shuttingDown(), undefined);
  await manager.stop();
  assert.deepEqual(log.slice(4), ['close']);
});

test('a machine that cannot wait is served all the same, and nothing is asked for if nothing is configured', async () => {
  const source = async () => Promise.reject(new Error('no logind'));
  const deps = {
    source,
    pods: { activePods: () => [] },
    control: { killPod: async () => {} },
    log: silentLogger,
  };
  await createShutdownManager({ ...deps, groups: [{ priority: 0, seconds: 1 }] }).start();
  await createShutdownManager({ ...deps, groups: [] }).start();
});
