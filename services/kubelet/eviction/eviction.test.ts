import assert from 'node:assert/strict';
import { test } from 'node:test';
import { create } from '@bufbuild/protobuf';
import { ContainerStatsSchema } from '#contracts/cri/runtime_pb.ts';
import type { Pod } from '#contracts/kubernetes/types.ts';
import { fakeClock } from '#foundation/base/fake-clock.ts';
import { silentLogger } from '#foundation/base/log.ts';
import { withDefaults } from '../configuration/defaults.ts';
import type { KillHow } from '../ports.ts';
import type { PodUsage } from '../stats/pod-usage.ts';
import { createEvictionManager, type EvictionDeps } from './eviction.ts';
import { exceededLimit } from './local-storage.ts';
import { rankPods } from './rank.ts';
import { configuredThresholds, metThresholds, type Observation, type Signal } from './thresholds.ts';

const mebi = 2 ** 20;

interface PodFacts {
  memory?: number;
  request?: string;
  priority?: number;
  layer?: number;
  logs?: number;
  limit?: string;
  annotations?: Record<string, string>;
}

function usageOf(name: string, facts: PodFacts): PodUsage {
  const requests =
    facts.request === undefined ? undefined : { memory: facts.request, 'ephemeral-storage': facts.request };
  const limits = facts.limit === undefined ? undefined : { 'ephemeral-storage': facts.limit };
  const pod: Pod = {
    metadata: { name, uid: name, annotations: facts.annotations },
    spec: {
      priority: facts.priority,
      containers: [{ name: 'c', image: 'i', resources: { requests, limits } }],
    },
  };
  const stats = create(ContainerStatsSchema, {
    memory: { workingSetBytes: { value: BigInt(facts.memory ?? 0) } },
    writableLayer: { usedBytes: { value: BigInt(facts.layer ?? 0) } },
  });
  const logs = { bytes: facts.logs ?? 0, inodes: 0 };
  return { pod, sandbox: undefined, containers: [{ name: 'c', id: name, stats, logs }], volumes: new Map() };
}

const order = (usages: Record<string, PodFacts>, signal: Signal, split = false) =>
  rankPods(
    Object.entries(usages).map(([name, facts]) => usageOf(name, facts)),
    signal,
    split,
  ).map(({ usage }) => usage.pod.metadata.name);

test('memory: over the request first, then low priority, then the largest excess', () => {
  const pods = {
    within: { memory: 90 * mebi, request: '100Mi' },
    small: { memory: 20 * mebi, request: '10Mi' },
    large: { memory: 80 * mebi, request: '10Mi' },
    important: { memory: 500 * mebi, request: '10Mi', priority: 100 },
    none: { memory: 75 * mebi },
  };
  assert.deepEqual(order(pods, 'memory.available'), ['none', 'large', 'small', 'important', 'within']);
});

test('disk: writable layers and logs count', () => {
  const pods = {
    logs: { logs: 50 * mebi },
    layer: { layer: 60 * mebi },
    fine: { layer: 70 * mebi, request: '100Mi' },
  };
  assert.deepEqual(order(pods, 'nodefs.available'), ['layer', 'logs', 'fine']);
  // With a disk for images and layers of their own, each disk is for those who fill it.
  assert.equal(order(pods, 'nodefs.available', true)[0], 'logs');
  assert.equal(order(pods, 'imagefs.available', true)[0], 'layer');
});

const observed = (available: number, signal: Signal = 'memory.available', capacity = 1000 * mebi) =>
  new Map<Signal, Observation>([[signal, { available, capacity }]]);

test('thresholds: amounts, shares, and what must be free beyond them', () => {
  const configuration = withDefaults(
    {
      evictionHard: { 'memory.available': '100Mi', 'nodefs.available': '10%' },
      evictionMinimumReclaim: { 'memory.available': '50Mi' },
    },
    true,
  );
  const thresholds = configuredThresholds(configuration);
  assert.deepEqual(
    thresholds.map(({ signal }) => signal),
    ['memory.available', 'nodefs.available', 'allocatableMemory.available'],
  );
  const met = (available: number, reclaim: boolean) =>
    metThresholds(thresholds, observed(available), reclaim).length;
  assert.equal(met(99 * mebi, false), 1);
  assert.equal(met(101 * mebi, false), 0);
  assert.equal(met(101 * mebi, true), 1);
  assert.equal(metThresholds(thresholds, observed(99 * mebi, 'nodefs.available'), false).length, 1);
  assert.equal(metThresholds(thresholds, observed(101 * mebi, 'nodefs.available'), false).length, 0);
});

for (const [name, facts, wanted] of [
  ['nothing limited', { layer: 99 * mebi }, undefined],
  ['within', { layer: 3 * mebi, logs: mebi, limit: '5Mi' }, undefined],
  [
    'layer and logs together over it',
    { layer: 3 * mebi, logs: 3 * mebi, limit: '5Mi' },
    /^Pod ephemeral local storage usage exceeds/,
  ],
] as [string, PodFacts, RegExp | undefined][])
  test(`limits of local storage: ${name}`, () => {
    const problem = exceededLimit(usageOf('p', facts));
    if (wanted === undefined) assert.equal(problem, undefined);
    else assert.match(problem ?? '', wanted);
  });

test('an emptyDir over its size', () => {
  const usage = usageOf('p', {});
  usage.pod.spec.volumes = [{ name: 'v', emptyDir: { sizeLimit: '1Mi' } }];
  const full = { ...usage, volumes: new Map([['v', { bytes: 2 * mebi, inodes: 1 }]]) };
  assert.equal(exceededLimit(full), 'Usage of EmptyDir volume "v" exceeds the limit "1Mi". ');
});

function setup(changes: Partial<EvictionDeps> & { usages?: PodUsage[] } = {}) {
  const clock = fakeClock();
  const state = { figures: observed(500 * mebi), reclaimed: 0 };
  const killed: [string, KillHow][] = [];
  const usages = changes.usages ?? [
    usageOf('small', { memory: 10 * mebi }),
    usageOf('large', { memory: 50 * mebi }),
  ];
  const manager = createEvictionManager({
    thresholds: configuredThresholds(withDefaults({ evictionHard: { 'memory.available': '100Mi' } }, true)),
    transitionMs: 300_000,
    maxGraceSeconds: 5,
    localStorage: true,
    observe: async () => state.figures,
    splitDisks: async () => false,
    usage: async (pods) => usages.filter(({ pod }) => pods.includes(pod)),
    reclaimDisk: async () => {
      state.reclaimed += 1;
    },
    resources: { podCgroupExists: () => false },
    clock,
    events: { pod: () => {}, node: () => {} },
    log: silentLogger,
    count: () => {},
    ...changes,
  });
  const look = () =>
    manager.round(
      { activePods: () => usages.map(({ pod }) => pod) },
      { killPod: async (pod, how) => void killed.push([pod.metadata.name, how]) },
      new AbortController().signal,
    );
  return { manager, clock, state, killed, look };
}

test('one pod goes at a time, at once, and the condition outlasts its cause', async () => {
  const { manager, clock, state, killed, look } = setup();
  await look();
  assert.equal(killed.length, 0);
  assert.deepEqual(manager.pressure(), { memory: false, disk: false, pid: false });
  state.figures = observed(90 * mebi);
  await look();
  assert.equal(killed.length, 1);
  const [name, how] = killed[0]!;
  assert.equal(name, 'large');
  assert.equal(how.gracePeriodSeconds, 1);
  assert.equal(how.condition?.reason, 'TerminationByKubelet');
  assert.match(
    how.message,
    /^The node was low on resource: memory\. Threshold quantity: 100Mi, available: 92160Ki\. Container c was using 51200Ki, request is 0, has larger/,
  );
  state.figures = observed(500 * mebi);
  await look();
  assert.equal(manager.pressure().memory, true);
  await clock.advance(300_001);
  assert.equal(manager.pressure().memory, false);
});

test('soft thresholds wait for their grace and give pods some', async () => {
  const soft = withDefaults(
    {
      evictionHard: {},
      evictionSoft: { 'memory.available': '200Mi' },
      evictionSoftGracePeriod: { 'memory.available': '30s' },
    },
    true,
  );
  const { manager, clock, state, killed, look } = setup({ thresholds: configuredThresholds(soft) });
  state.figures = observed(150 * mebi);
  await look();
  assert.equal(manager.pressure().memory, true, 'the condition does not wait');
  await clock.advance(20_000);
  await look();
  assert.equal(killed.length, 0);
  await clock.advance(11_000);
  await look();
  assert.equal(killed[0]?.[1].gracePeriodSeconds, 5);
});

test('static, mirror and critical pods are never evicted', async () => {
  const usages = [
    usageOf('static', { memory: 90 * mebi, annotations: { 'kubernetes.io/config.source': 'file' } }),
    usageOf('critical', { memory: 80 * mebi, priority: 2_000_000_000 }),
    usageOf('plain', { memory: 1 }),
  ];
  const { state, killed, look } = setup({ usages });
  state.figures = observed(1);
  await look();
  assert.deepEqual(
    killed.map(([name]) => name),
    ['plain'],
  );
});

test('a full disk first costs what nobody uses', async () => {
  const disk = configuredThresholds(withDefaults({ evictionHard: { 'nodefs.available': '10%' } }, true));
  const { state, killed, look } = setup({
    thresholds: disk,
    reclaimDisk: async () => {
      state.reclaimed += 1;
      state.figures = observed(400 * mebi, 'nodefs.available');
    },
  });
  state.figures = observed(50 * mebi, 'nodefs.available');
  await look();
  assert.equal(state.reclaimed, 1);
  assert.equal(killed.length, 0);
});

test('images on another disk are left alone when the node’s own is full', async () => {
  const both = { 'nodefs.available': '10%', 'imagefs.available': '10%' };
  const thresholds = configuredThresholds(withDefaults({ evictionHard: both }, true));
  const usages = [usageOf('logs', { logs: 5 * mebi }), usageOf('layer', { layer: 9 * mebi })];
  const { state, killed, look } = setup({ thresholds, usages, splitDisks: async () => true });
  state.figures = observed(50 * mebi, 'nodefs.available');
  await look();
  assert.equal(state.reclaimed, 0);
  assert.deepEqual(
    killed.map(([name]) => name),
    ['logs'],
  );
  state.figures = observed(50 * mebi, 'imagefs.available');
  await look();
  assert.equal(state.reclaimed, 1);
  assert.deepEqual(
    killed.map(([name]) => name),
    ['logs', 'layer'],
  );
});

test('who exceeds a limit of local storage goes whatever the node has', async () => {
  const { killed, look } = setup({ usages: [usageOf('greedy', { layer: 9 * mebi, limit: '5Mi' })] });
  await look();
  assert.equal(killed[0]?.[0], 'greedy');
  assert.equal(killed[0]?.[1].condition, undefined);
});

for (const [name, limits, used, wanted] of [
  ['one of two has a limit', ['1Ki', undefined], 2048, 'total limit of containers 1Ki'],
  ['within the sum', ['1Ki', '2Ki'], 2048, undefined],
  ['over the sum', ['1Ki', '1Ki'], 4096, 'total limit of containers 2Ki'],
  ['nobody has one', [undefined, undefined], 2 ** 40, undefined],
] as const)
  test(`local storage of a pod: ${name}`, () => {
    const pod = {
      metadata: { name: 'p' },
      spec: {
        containers: limits.map((limit, index) => ({
          name: `c${index}`,
          image: 'i',
          resources: limit === undefined ? {} : { limits: { 'ephemeral-storage': limit } },
        })),
        volumes: [{ name: 'settings', configMap: {} }],
      },
    };
    const volumes = new Map([['settings', { bytes: used, inodes: 1 }]]);
    const message = exceededLimit({ pod, volumes, containers: [], sandbox: undefined });
    if (wanted === undefined) assert.equal(message, undefined);
    else assert.match(message ?? '', new RegExp(wanted));
  });
