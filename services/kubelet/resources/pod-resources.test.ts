import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import type { Pod, ResourceRequirements } from '#contracts/kubernetes/types.ts';
import { silentLogger } from '#foundation/base/log.ts';
import {
  cgroupDirectories,
  cgroupDirectory,
  cgroupLayout,
  killCgroup,
  removeCgroup,
} from '#foundation/linux/cgroups.ts';
import { cgroupPath, criCgroupParent, podCgroup, podUidFrom } from './cgroup-names.ts';
import { linuxResources, podTotals, type ResourceSettings } from './linux-resources.ts';
import { createPodResources, type PodResourcesDeps, podLimits } from './pod-resources.ts';
import { oomScoreAdj, type QosClass, qosOf } from './qos.ts';

function podWith(...resources: (ResourceRequirements | undefined)[]): Pod {
  return {
    metadata: { name: 'p', uid: 'ab-cd' },
    spec: {
      containers: resources.map((each, index) => ({ name: `c${index}`, image: 'i', resources: each })),
    },
  };
}

const full = { requests: { cpu: '1', memory: '1Gi' }, limits: { cpu: '1', memory: '1Gi' } };

for (const [name, pod, wanted] of [
  ['nothing', podWith(undefined), 'BestEffort'],
  ['zeroes', podWith({ requests: { cpu: '0' } }), 'BestEffort'],
  ['other resources', podWith({ limits: { 'ephemeral-storage': '1Gi' } }), 'BestEffort'],
  ['all set and equal', podWith(full, full), 'Guaranteed'],
  [
    'equal in other words',
    podWith({ requests: { cpu: '1000m', memory: '1024Mi' }, limits: full.limits }),
    'Guaranteed',
  ],
  ['limits only', podWith({ limits: full.limits }), 'Guaranteed'],
  ['one container without', podWith(full, undefined), 'Burstable'],
  ['request below limit', podWith({ requests: { cpu: '500m' }, limits: full.limits }), 'Burstable'],
  ['cpu only', podWith({ requests: { cpu: '1' }, limits: { cpu: '1' } }), 'Burstable'],
] as [string, Pod, QosClass][])
  test(`QoS of ${name} is ${wanted}`, () => assert.equal(qosOf(pod), wanted));

test('pod-level resources decide the class instead of the containers', () => {
  const pod = podWith(undefined);
  pod.spec.resources = full;
  assert.equal(qosOf(pod), 'Guaranteed');
});

test('names of cgroups with both drivers', () => {
  const burstable = podCgroup(['kubepods'], podWith({ requests: { cpu: '1' } }));
  assert.equal(cgroupPath(burstable, 'cgroupfs'), '/kubepods/burstable/podab-cd');
  assert.equal(
    cgroupPath(burstable, 'systemd'),
    '/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-podab_cd.slice',
  );
  assert.equal(criCgroupParent(burstable, 'systemd'), 'kubepods-burstable-podab_cd.slice');
  assert.equal(cgroupPath(podCgroup(['kubepods'], podWith(full)), 'cgroupfs'), '/kubepods/podab-cd');
  assert.equal(podUidFrom('podab-cd', 'cgroupfs'), 'ab-cd');
  assert.equal(podUidFrom('kubepods-burstable-podab_cd.slice', 'systemd'), 'ab-cd');
  assert.equal(podUidFrom('burstable', 'cgroupfs'), undefined);
});

const settings: ResourceSettings = {
  memoryCapacity: 4 * 2 ** 30,
  swapCapacity: 2 ** 30,
  cgroupVersion: 2,
  enforceCpuLimits: true,
  cpuPeriod: 100_000,
  swapBehavior: 'LimitedSwap',
  singleProcessOomKill: false,
  hugePageSizes: ['2Mi'],
};

test('a container in the terms of the kernel', () => {
  const pod = podWith({ requests: { cpu: '100m', memory: '1Gi' }, limits: { cpu: '250m', memory: '2Gi' } });
  const resources = linuxResources(pod, pod.spec.containers[0]!, settings);
  assert.equal(resources.cpuShares, 102n);
  assert.equal(resources.cpuQuota, 25_000n);
  assert.equal(resources.memoryLimitInBytes, 2n ** 31n);
  assert.equal(
    resources.memorySwapLimitInBytes,
    2n ** 31n + 2n ** 28n,
    'a quarter of the memory, a quarter of the swap',
  );
  assert.equal(resources.oomScoreAdj, 750n);
  assert.deepEqual(resources.hugepageLimits, [{ pageSize: '2MB', limit: 0n }]);
  assert.deepEqual(resources.unified, { 'memory.oom.group': '1' });
});

test('nothing asked for: the least shares, no limits, first to go', () => {
  const pod = podWith(undefined);
  const resources = linuxResources(pod, pod.spec.containers[0]!, { ...settings, cgroupVersion: 1 });
  assert.equal(resources.cpuShares, 2n);
  assert.equal(resources.cpuQuota, 0n);
  assert.equal(resources.memoryLimitInBytes, 0n);
  assert.equal(resources.oomScoreAdj, 1000n);
  assert.deepEqual(resources.unified, {});
});

test('a tiny CPU limit gets the least quota, and an absent request is the limit', () => {
  const pod = podWith({ limits: { cpu: '5m' } });
  const resources = linuxResources(pod, pod.spec.containers[0]!, settings);
  assert.equal(resources.cpuQuota, 1000n);
  assert.equal(resources.cpuShares, 5n);
});

for (const [name, pod, wanted] of [
  ['Guaranteed', podWith(full), -997],
  ['BestEffort', podWith(undefined), 1000],
  ['Burstable with little', podWith({ requests: { memory: '1' } }), 999],
  ['Burstable with all', podWith({ requests: { memory: '4Gi' } }), 3],
] as [string, Pod, number][])
  test(`OOM score of ${name} is ${wanted}`, () =>
    assert.equal(oomScoreAdj(pod, pod.spec.containers[0]!, settings.memoryCapacity), wanted));

test('the node’s own pods are spared, and sidecars live as long as those they serve', () => {
  const critical = podWith(undefined);
  critical.spec.priority = 2_000_001_000;
  critical.spec.priorityClassName = 'system-node-critical';
  assert.equal(oomScoreAdj(critical, critical.spec.containers[0]!, 1), -997);
  const pod = podWith({ requests: { memory: '1Gi' } });
  pod.spec.initContainers = [{ name: 'side', image: 'i', restartPolicy: 'Always' }];
  assert.equal(oomScoreAdj(pod, pod.spec.initContainers[0]!, settings.memoryCapacity), 750);
});

test('a pod sums its containers, its largest init container, and its overhead', () => {
  const pod = podWith({ requests: { cpu: '100m' } }, { requests: { cpu: '200m' } });
  pod.spec.initContainers = [
    { name: 'side', image: 'i', restartPolicy: 'Always', resources: { requests: { cpu: '50m' } } },
    { name: 'big', image: 'i', resources: { requests: { cpu: '1' } } },
  ];
  assert.equal(podTotals(pod).milliCpuRequest, 1050);
  pod.spec.overhead = { cpu: '10m' };
  assert.equal(podTotals(pod).milliCpuRequest, 1060);
  assert.equal(podTotals(pod).milliCpuLimit, 0);
});

test('a pod is limited only if every container is', () => {
  const limitsOf = (pod: Pod) =>
    podLimits(pod, { enforceCpuLimits: true, cpuPeriod: 100_000, podPids: 99, hugePageSizes: [] });
  const half = limitsOf(podWith({ limits: { cpu: '1', memory: '1Gi' } }, { requests: { cpu: '1' } }));
  assert.equal(half.cpuQuota, 0);
  assert.equal(half.memory, 0);
  const whole = limitsOf(podWith(full, full));
  assert.equal(whole.cpuQuota, 200_000);
  assert.equal(whole.memory, 2 ** 31);
  assert.equal(whole.pids, 99);
});

test('pod cgroups on this machine: made, limited, resized, found again, killed and removed', async () => {
  const layout = cgroupLayout();
  const root = [`skiff-test-${process.pid}`, 'kubepods'];
  const deps: PodResourcesDeps = {
    layout,
    driver: () => 'cgroupfs',
    root,
    failCgroupV1: false,
    nodeLimits: () => ({ milliCpu: 2000, memory: 2 ** 31, pids: 0 }),
    enforceCpuLimits: true,
    cpuPeriod: 100_000,
    podPids: 50,
    hugePageSizes: [],
    log: silentLogger,
  };
  const resources = createPodResources(deps);
  const pod = podWith({ requests: { cpu: '100m' }, limits: { cpu: '500m', memory: '64Mi' } });
  const path = cgroupPath(podCgroup(root, pod), 'cgroupfs');
  const unified = layout.mode === 'unified';
  const at = (controller: string, file: string) => `${cgroupDirectory(layout, controller, path)}/${file}`;
  const memoryFile = at('memory', unified ? 'memory.max' : 'memory.limit_in_bytes');
  try {
    await resources.start();
    await resources.createPodCgroup(pod);
    await resources.createPodCgroup(pod);
    assert.equal(resources.podCgroupExists(pod), true);
    assert.equal(Number(readFileSync(memoryFile, 'utf8')), 64 * 2 ** 20);
    assert.equal(readFileSync(at('pids', 'pids.max'), 'utf8').trim(), '50');
    assert.deepEqual(await resources.podCgroups(), ['ab-cd']);
    await resources.updateQos([pod]);
    const larger = podWith({ requests: { cpu: '100m' }, limits: { cpu: '1', memory: '128Mi' } });
    const smaller = podWith({ requests: { cpu: '100m' }, limits: { cpu: '200m', memory: '32Mi' } });
    await resources.updatePodCgroup(smaller, 'grow');
    assert.equal(Number(readFileSync(memoryFile, 'utf8')), 64 * 2 ** 20, 'nothing is lowered');
    await resources.updatePodCgroup(larger, 'grow');
    assert.equal(Number(readFileSync(memoryFile, 'utf8')), 128 * 2 ** 20);
    await resources.updatePodCgroup(smaller, 'exact');
    assert.equal(Number(readFileSync(memoryFile, 'utf8')), 32 * 2 ** 20);
    await resources.updatePodCgroup(larger, 'exact');
    assert.equal(Number(readFileSync(memoryFile, 'utf8')), 128 * 2 ** 20);
    const child = spawn('sleep', ['60']);
    await once(child, 'spawn');
    writeFileSync(at('memory', 'cgroup.procs'), String(child.pid));
    assert.equal(typeof resources.memoryUsage('ab-cd'), 'number');
    const ended = once(child, 'exit');
    resources.stop();
    assert.equal(existsSync(at('memory', '')), true, 'a pod is left in it');
    await resources.removePodCgroup('ab-cd');
    assert.deepEqual(await ended, [null, 'SIGKILL']);
    assert.equal(existsSync(at('memory', '')), false);
    assert.deepEqual(await resources.podCgroups(), []);
    // As a removal leaves it that failed in one hierarchy.
    const left = at('pids', '');
    mkdirSync(left, { recursive: true });
    assert.deepEqual(await resources.podCgroups(), ['ab-cd']);
    const looks: number[] = [];
    for (let look = 1; look <= 15; look += 1)
      if ((await resources.podCgroups('quick')).length > 0) looks.push(look);
    assert.equal(looks.at(-1), 15, 'a quick look goes everywhere now and then');
    await resources.removePodCgroup('ab-cd');
    assert.equal(existsSync(left), false);
    await resources.removePodCgroup('ab-cd');
    // As a runtime makes it again for a container that was given up.
    mkdirSync(left, { recursive: true });
    resources.stop();
    const all = cgroupDirectories(layout, `/${root.join('/')}`).filter((each) => existsSync(each));
    assert.deepEqual(all, []);
  } finally {
    await killCgroup(layout, `/${root[0]}`, AbortSignal.timeout(5000));
    await removeCgroup(layout, `/${root[0]}`);
  }
});

test('cgroup version 1 is refused when the configuration says so', async (context) => {
  const layout = cgroupLayout();
  if (layout.mode === 'unified') return context.skip('this machine has version 2');
  const resources = createPodResources({ layout, failCgroupV1: true, log: silentLogger } as PodResourcesDeps);
  await assert.rejects(resources.start(), /set failCgroupV1 to false/);
});
