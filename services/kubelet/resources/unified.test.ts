/** cgroup version 2 and the systemd driver on a tree of plain files: which file gets which value. */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { afterEach, test } from 'node:test';
import type { Pod } from '#contracts/kubernetes/types.ts';
import { silentLogger } from '#foundation/base/log.ts';
import type { CgroupLayout } from '#foundation/linux/cgroups.ts';
import { withDefaults } from '../configuration/defaults.ts';
import type { CgroupDriver } from './cgroup-names.ts';
import { linuxResources, type ResourceSettings } from './linux-resources.ts';
import { createPodResources } from './pod-resources.ts';
import { limitReservedGroups } from './reserved-groups.ts';

const roots: string[] = [];
afterEach(() => {
  for (const root of roots.splice(0)) rmSync(root, { recursive: true });
});

const files = [
  'cpu.weight',
  'cpu.max',
  'memory.max',
  'memory.min',
  'memory.low',
  'pids.max',
  'hugetlb.2MB.max',
];

/** A tree as the kernel would make it, of the groups named. */
function fakeTree(...groups: string[]) {
  const root = mkdtempSync('/tmp/skiff-cg-');
  roots.push(root);
  const layout = { mode: 'unified', v1: new Map(), v2: root } as unknown as CgroupLayout;
  for (const group of ['', ...groups]) {
    mkdirSync(`${root}${group}`, { recursive: true });
    writeFileSync(`${root}${group}/cgroup.controllers`, 'cpuset cpu io memory hugetlb pids');
    writeFileSync(`${root}${group}/cgroup.subtree_control`, '');
    for (const file of files) writeFileSync(`${root}${group}/${file}`, '-');
  }
  const values = (group: string) =>
    Object.fromEntries(
      files.flatMap((file) => {
        const value = readFileSync(`${root}${group}/${file}`, 'utf8');
        return value === '-' ? [] : [[file, value]];
      }),
    );
  return { root, layout, values };
}

const podOf = (requests: Record<string, string>, limits: Record<string, string>): Pod => ({
  metadata: { name: 'p', uid: 'ab-cd' },
  spec: { containers: [{ name: 'c', image: 'i', resources: { requests, limits } }] },
});
const burstable = podOf({ cpu: '500m', memory: '64Mi' }, { cpu: '1', memory: '128Mi' });
const guaranteed = podOf({ cpu: '1', memory: '64Mi' }, { cpu: '1', memory: '64Mi' });

const resourcesOn = (layout: CgroupLayout, driver: CgroupDriver, reserves = false) =>
  createPodResources({
    layout,
    driver: () => driver,
    root: ['kubepods'],
    failCgroupV1: true,
    nodeLimits: () => ({ milliCpu: 2000, memory: 2 ** 31, pids: 0 }),
    enforceCpuLimits: true,
    cpuPeriod: 100_000,
    podPids: 99,
    hugePageSizes: ['2Mi'],
    memoryQos: reserves ? { throttling: 0.9, reserves, allocatable: () => 2 ** 30 } : undefined,
    log: silentLogger,
  });

for (const [driver, top, level, own] of [
  ['cgroupfs', '/kubepods', '/kubepods/burstable', '/kubepods/burstable/podab-cd'],
  [
    'systemd',
    '/kubepods.slice',
    '/kubepods.slice/kubepods-burstable.slice',
    '/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-podab_cd.slice',
  ],
] as const)
  test(`version 2 with the ${driver} driver: names and values`, async () => {
    const { layout, root, values } = fakeTree(top, level, own);
    const resources = resourcesOn(layout, driver);
    await resources.start();
    await resources.updatePodCgroup(burstable, 'exact');
    await resources.updateQos([burstable]);
    assert.deepEqual(values(top), { 'cpu.weight': '79', 'memory.max': String(2 ** 31), 'pids.max': 'max' });
    assert.deepEqual(values(level), { 'cpu.weight': '20' });
    assert.deepEqual(values(own), {
      'cpu.weight': '20',
      'cpu.max': '100000 100000',
      'memory.max': String(128 * 2 ** 20),
      'pids.max': '99',
      'hugetlb.2MB.max': '0',
    });
    assert.equal(
      readFileSync(`${root}${top}/cgroup.subtree_control`, 'utf8'),
      '+cpu +cpuset +io +memory +pids +hugetlb',
    );
    assert.deepEqual(await resources.podCgroups(), ['ab-cd']);
    writeFileSync(`${root}${own}/memory.current`, '4096\n');
    assert.equal(resources.memoryUsage('ab-cd'), 4096);
  });

test('tiered reservation keeps memory from the node down to the pod', async () => {
  const pod = '/kubepods/podab-cd';
  const { layout, values } = fakeTree(
    '/kubepods',
    '/kubepods/burstable',
    '/kubepods/burstable/podab-cd',
    pod,
  );
  const resources = resourcesOn(layout, 'cgroupfs', true);
  await resources.start();
  await resources.updatePodCgroup(guaranteed, 'exact');
  await resources.updatePodCgroup(burstable, 'exact');
  await resources.updateQos([guaranteed, burstable]);
  const bytes = String(64 * 2 ** 20);
  const kept = (group: string) => [values(group)['memory.min'], values(group)['memory.low']];
  assert.deepEqual(kept(pod), [bytes, '0']);
  assert.deepEqual(kept('/kubepods/burstable/podab-cd'), ['0', bytes]);
  assert.deepEqual(kept('/kubepods/burstable'), [undefined, bytes]);
  assert.deepEqual(kept('/kubepods'), [bytes, bytes]);
});

const settings: ResourceSettings = {
  memoryCapacity: 2 ** 32,
  swapCapacity: 2 ** 30,
  cgroupVersion: 2,
  enforceCpuLimits: true,
  cpuPeriod: 100_000,
  swapBehavior: 'NoSwap',
  singleProcessOomKill: false,
  hugePageSizes: [],
};
const unifiedOf = (pod: Pod, more: Partial<ResourceSettings>) =>
  linuxResources(pod, pod.spec.containers[0]!, { ...settings, ...more }).unified;
const Mi = 2 ** 20;

for (const [name, pod, reserves, wanted] of [
  // request + (limit - request) * 0.9, on a page.
  [
    'Burstable with a limit',
    burstable,
    false,
    { 'memory.min': '0', 'memory.low': '0', 'memory.high': '127504384' },
  ],
  ['Guaranteed is not slowed down', guaranteed, false, { 'memory.min': '0', 'memory.low': '0' }],
  [
    'without a limit the node is',
    podOf({ memory: '64Mi' }, {}),
    false,
    { 'memory.min': '0', 'memory.low': '0', 'memory.high': '973078528' },
  ],
  ['Guaranteed keeps', guaranteed, true, { 'memory.min': String(64 * Mi), 'memory.low': '0' }],
  [
    'Burstable keeps if it can',
    burstable,
    true,
    { 'memory.min': '0', 'memory.low': String(64 * Mi), 'memory.high': '127504384' },
  ],
] as const)
  test(`MemoryQoS: ${name}`, () => {
    const memoryQos = { throttling: 0.9, reserves, allocatable: () => 2 ** 30 };
    assert.deepEqual(unifiedOf(pod, { memoryQos }), { 'memory.oom.group': '1', ...wanted });
  });

test('without MemoryQoS, and with version 1, nothing of it is set', () => {
  assert.deepEqual(unifiedOf(burstable, {}), { 'memory.oom.group': '1' });
  assert.deepEqual(unifiedOf(burstable, { singleProcessOomKill: true }), {});
  const memoryQos = { throttling: 0.9, reserves: true, allocatable: () => 2 ** 30 };
  assert.deepEqual(unifiedOf(burstable, { memoryQos, cgroupVersion: 1 }), {});
});

for (const [name, pod, behavior, wanted] of [
  ['none', burstable, 'NoSwap', 128 * Mi],
  // A 64th of the machine's memory, so a 64th of its swap.
  ['Burstable', burstable, 'LimitedSwap', 128 * Mi + 16 * Mi],
  ['Guaranteed', guaranteed, 'LimitedSwap', 64 * Mi],
  ['without a request', podOf({ cpu: '1' }, { memory: '64Mi' }), 'LimitedSwap', 64 * Mi],
] as const)
  test(`swap of a pod with ${behavior}: ${name}`, () => {
    const { memorySwapLimitInBytes } = linuxResources(pod, pod.spec.containers[0]!, {
      ...settings,
      swapBehavior: behavior,
    });
    assert.equal(memorySwapLimitInBytes, BigInt(wanted));
  });

test('what is reserved for the system limits its groups, if that is to be enforced', () => {
  const { layout, values } = fakeTree('/system.slice', '/kube.slice');
  const stated = (enforceNodeAllocatable: string[]) =>
    withDefaults(
      {
        enforceNodeAllocatable: enforceNodeAllocatable as never,
        systemReserved: { cpu: '1', memory: '1Gi', pid: '500' },
        kubeReserved: { cpu: '500m', memory: '2Gi' },
        systemReservedCgroup: '/system',
        kubeReservedCgroup: '/kube',
      },
      true,
    );
  limitReservedGroups(stated(['pods']), layout, 'systemd');
  assert.deepEqual(values('/system.slice'), {});
  limitReservedGroups(stated(['pods', 'system-reserved', 'kube-reserved-compressible']), layout, 'systemd');
  assert.deepEqual(values('/system.slice'), {
    'cpu.weight': '39',
    'memory.max': String(2 ** 30),
    'pids.max': '500',
  });
  assert.deepEqual(values('/kube.slice'), { 'cpu.weight': '20' });
  assert.throws(
    () => limitReservedGroups(stated(['kube-reserved']), layout, 'cgroupfs'),
    /there is no cgroup "\/kube" \(make it/,
  );
});
