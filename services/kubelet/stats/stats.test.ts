import assert from 'node:assert/strict';
import { linkSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { afterEach, test } from 'node:test';
import { create } from '@bufbuild/protobuf';
import { ContainerStatsSchema, PodSandboxStatsSchema } from '#contracts/cri/runtime_pb.ts';
import type { Pod } from '#contracts/kubernetes/types.ts';
import { SkiffError } from '#foundation/base/errors.ts';
import { fakeClock } from '#foundation/base/fake-clock.ts';
import { cgroupLayout } from '#foundation/linux/cgroups.ts';
import { cadvisorMetrics } from './cadvisor.ts';
import { treeUsage } from './directory-usage.ts';
import { processCounts } from './machine-usage.ts';
import { createPodUsages, ephemeralStorage, type PodUsageDeps } from './pod-usage.ts';
import { createRates } from './rates.ts';
import { resourceMetrics } from './resource-metrics.ts';
import { createStats } from './stats.ts';

const roots: string[] = [];
afterEach(() => {
  for (const root of roots.splice(0)) rmSync(root, { recursive: true });
});

const pod: Pod = {
  metadata: { name: 'web', namespace: 'ns', uid: 'u' },
  spec: { containers: [{ name: 'c', image: 'img' }], volumes: [{ name: 'scratch', emptyDir: {} }] },
  status: {
    containerStatuses: [
      {
        name: 'c',
        image: 'img',
        imageID: '',
        ready: true,
        restartCount: 0,
        state: { running: { startedAt: '2026-01-01T00:00:00Z' } },
      },
    ],
  },
};

const containerStats = (attempt: number, memory: number) =>
  create(ContainerStatsSchema, {
    attributes: {
      id: `c${attempt}`,
      metadata: { name: 'c', attempt },
      labels: { 'io.kubernetes.pod.uid': 'u' },
    },
    cpu: { usageCoreNanoSeconds: { value: 5_000_000_000n } },
    memory: { workingSetBytes: { value: BigInt(memory) } },
    writableLayer: { usedBytes: { value: 1000n }, inodesUsed: { value: 3n } },
  });

function setup(cri: Partial<PodUsageDeps['cri']> = {}) {
  const root = mkdtempSync('/tmp/skiff-stat-');
  roots.push(root);
  mkdirSync(`${root}/log/ns_web_u/c`, { recursive: true });
  writeFileSync(`${root}/log/ns_web_u/c/0.log`, Buffer.alloc(8192, 'x'));
  mkdirSync(`${root}/pods/u/volumes/kubernetes.io~empty-dir/scratch`, { recursive: true });
  writeFileSync(`${root}/pods/u/volumes/kubernetes.io~empty-dir/scratch/f`, Buffer.alloc(4096, 'x'));
  const clock = fakeClock();
  const usages = createPodUsages({
    cri: {
      listPodSandboxStats: async () =>
        ({
          stats: [
            create(PodSandboxStatsSchema, {
              attributes: { id: 's', metadata: { uid: 'u' } },
              linux: {
                containers: [containerStats(0, 1), containerStats(1, 77)],
                network: {
                  defaultInterface: { name: 'eth0', rxBytes: { value: 9n } },
                  interfaces: [{ name: 'eth0', rxBytes: { value: 9n } }],
                },
              },
            }),
          ],
        }) as never,
      listContainerStats: async () => ({ stats: [containerStats(0, 5)] }) as never,
      ...cri,
    },
    clock,
    kubeletRoot: root,
    podLogs: `${root}/log`,
    diskPeriodMs: 60_000,
  });
  const volumes = {
    measure: async () =>
      new Map([['u', [{ name: 'data', claim: 'c', figures: { used: 7, capacity: 9, problem: '' } }]]]),
  };
  const stats = createStats({
    volumes,
    view: { pods: () => [pod, { ...pod, status: { phase: 'Succeeded' } }] },
    usages,
    images: {
      imageFsInfo: async () =>
        ({ imageFilesystems: [{ fsId: { mountpoint: root }, usedBytes: { value: 11n } }] }) as never,
    },
    clock,
    layout: cgroupLayout(),
    nodeName: 'n',
    kubeletRoot: root,
    memoryCapacity: 2 ** 34,
    bootedAt: 0,
    podsCgroup: () => '/skiff-none',
    podCgroup: () => '/skiff-none/podu',
  });
  return { root, clock, stats };
}

const metricDeps = {
  layout: cgroupLayout(),
  memoryCapacity: 2 ** 34,
  cpus: 2,
  podCgroup: () => '/skiff-none/podu',
};

/** A value inside JSON by its path: `pods.0.cpu`. */
function at(json: unknown, path: string): unknown {
  return path
    .split('/')
    .reduce<unknown>((value, key) => (value as Record<string, unknown> | undefined)?.[key], json);
}

test('the summary: node, pods that run, the newest run of each container, disk', async () => {
  const { stats } = setup();
  const all = await stats.summary({ onlyCpuAndMemory: false });
  assert.equal(at(all, 'node/nodeName'), 'n');
  assert.equal(at(all, 'node/runtime/imageFs/usedBytes'), 11);
  for (const path of ['node/memory/workingSetBytes', 'node/fs/capacityBytes', 'node/rlimit/curproc'])
    assert.ok(Number(at(all, path)) > 0, path);
  assert.equal(at(all, 'pods/length'), 1);
  assert.deepEqual(at(all, 'pods/0/podRef'), { name: 'web', namespace: 'ns', uid: 'u' });
  assert.equal(at(all, 'pods/0/containers/length'), 1);
  assert.equal(at(all, 'pods/0/containers/0/memory/workingSetBytes'), 77);
  assert.equal(at(all, 'pods/0/containers/0/startTime'), '2026-01-01T00:00:00Z');
  assert.equal(at(all, 'pods/0/network/rxBytes'), 9);
  assert.ok(Number(at(all, 'pods/0/containers/0/logs/usedBytes')) >= 8192);
  assert.ok(Number(at(all, 'pods/0/ephemeral-storage/usedBytes')) >= 1000 + 8192 + 4096);
  assert.equal(at(all, 'pods/0/volume/0/usedBytes'), 7);
  assert.deepEqual(at(all, 'pods/0/volume/0/pvcRef'), { name: 'c', namespace: 'ns' });
  assert.deepEqual(at(all, 'pods/0/volume/0/volumeHealthStats'), { abnormal: false });
  const short = await stats.summary({ onlyCpuAndMemory: true });
  assert.equal(at(short, 'node/fs'), undefined);
  assert.equal(at(short, 'pods/0/volume'), undefined);
});

test('runtimes that know only containers are asked for these', async () => {
  const { stats } = setup({
    listPodSandboxStats: async () => Promise.reject(new SkiffError('UNIMPLEMENTED', 'no')),
  });
  const [usage] = await stats.pods({ disk: false });
  assert.equal(usage?.containers[0]?.stats.memory?.workingSetBytes?.value, 5n);
});

test('disk is measured once a minute', async () => {
  const { root, stats, clock } = setup();
  const before = ephemeralStorage((await stats.pods({ disk: true }))[0]!).bytes;
  writeFileSync(`${root}/log/ns_web_u/c/1.log`, Buffer.alloc(100_000, 'x'));
  assert.equal(ephemeralStorage((await stats.pods({ disk: true }))[0]!).bytes, before);
  await clock.advance(61_000);
  assert.ok(ephemeralStorage((await stats.pods({ disk: true }))[0]!).bytes >= before + 100_000);
});

test('metrics have the names that dashboards know', async () => {
  const { stats } = setup();
  const resource = await resourceMetrics(stats, metricDeps);
  assert.match(
    resource,
    /^container_memory_working_set_bytes\{container="c",namespace="ns",pod="web"\} 77$/m,
  );
  assert.match(resource, /^node_cpu_usage_seconds_total \d/m);
  assert.match(resource, /^container_start_time_seconds\{.*\} 1767225600$/m);
  assert.match(resource, /^resource_scrape_error 0$/m);
  const cadvisor = await cadvisorMetrics(stats, metricDeps);
  assert.match(
    cadvisor,
    /^container_cpu_usage_seconds_total\{container="c",id="\/skiff-none\/podu\/c1",image="img",name="c1",namespace="ns",pod="web",cpu="total"\} 5$/m,
  );
  assert.match(cadvisor, /^container_network_receive_bytes_total\{.*interface="eth0"\} 9$/m);
  assert.match(cadvisor, /^machine_cpu_cores 2$/m);
  const failing = { pods: async () => Promise.reject(new Error('away')) };
  assert.match(await resourceMetrics(failing, metricDeps), /^resource_scrape_error 1$/m);
});

test('a tree: names of one file count once, nothing is followed', async () => {
  const { root } = setup();
  const directory = `${root}/tree`;
  mkdirSync(directory);
  writeFileSync(`${directory}/a`, Buffer.alloc(8192, 'x'));
  linkSync(`${directory}/a`, `${directory}/b`);
  const usage = await treeUsage(directory);
  assert.equal(usage.inodes, 2);
  assert.ok(usage.bytes >= 8192 && usage.bytes < 16_384 + 4096);
  assert.deepEqual(await treeUsage(`${root}/none`), { bytes: 0, inodes: 0 });
});

test('rates', async () => {
  const clock = fakeClock();
  const rate = createRates(clock);
  assert.equal(rate('k', 0), undefined);
  await clock.advance(4000);
  assert.equal(rate('k', 2_000_000_000), 500_000_000);
  await clock.advance(100);
  assert.equal(rate('k', 9_000_000_000), 500_000_000, 'looks too close together are not new ones');
  assert.ok(processCounts().current > 0);
});
