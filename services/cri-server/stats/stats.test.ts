import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { cgroupLayout } from '#foundation/linux/cgroups.ts';
import { context, type Fixture, openFixture } from '../../../test/containers-fixture.ts';
import { createStats } from './index.ts';
import { metricDescriptors } from './metrics/descriptors.ts';
import { parseNetDev } from './network.ts';
import { createCpuSampler } from './sampler.ts';
import { parsePressure, readUsage } from './usage.ts';

function statsOf(t: { after(done: () => void): void }, fixture: Fixture) {
  const { table, sandboxes, images, host } = fixture.containers.core;
  mkdirSync(`${fixture.root}/roots`, { recursive: true });
  const stats = createStats({
    table,
    sandboxes,
    images,
    cgroups: host.cgroups,
    rootsDirectory: `${fixture.root}/roots`,
  });
  t.after(() => stats[Symbol.dispose]());
  const call = async (
    name:
      | 'containerStats'
      | 'listContainerStats'
      | 'podSandboxStats'
      | 'listPodSandboxStats'
      | 'listPodSandboxMetrics',
    request: object,
  ) =>
    // biome-ignore lint/suspicious/noExplicitAny: the answers of five RPCs, read by the test.
    await (stats.handlers[name] as (request: object, ctx: object) => Promise<any>)(request, context);
  return call;
}

test('container statistics are those of its cgroup; a rate comes with the second sample', async (t) => {
  const fixture = await openFixture(t);
  const call = statsOf(t, fixture);
  const id = await fixture.run('x=$(head -c 20000000 /dev/zero | tr "\\0" x); while :; do :; done');
  const usage = () =>
    readUsage(fixture.containers.core.host.cgroups, `/skiff-${fixture.containers.core.paths.tag}/${id}`);
  for (let i = 0; i < 200 && (usage()?.memory?.usage ?? 0n) < 20_000_000n; i += 1) await sleep(50);
  const first = (await call('containerStats', { containerId: id })).stats;
  assert.ok(first.memory.usageBytes.value > 20_000_000n);
  assert.ok(first.memory.workingSetBytes.value <= first.memory.usageBytes.value);
  assert.equal(first.cpu.usageNanoCores, undefined);
  assert.equal(first.writableLayer.usedBytes.value, 1234n);
  await sleep(1500);
  const second = (await call('containerStats', { containerId: id })).stats;
  assert.ok(second.cpu.usageCoreNanoSeconds.value > first.cpu.usageCoreNanoSeconds.value);
  assert.ok(
    second.cpu.usageNanoCores.value > 50_000_000n && second.cpu.usageNanoCores.value < 2_100_000_000n,
  );
  const pod = (await call('podSandboxStats', { podSandboxId: fixture.sandbox.id })).stats;
  assert.equal(pod.linux.containers.length, 1);
  assert.equal(pod.linux.process.processCount.value, 1n);
  assert.deepEqual(pod.linux.network.interfaces, []);
  await fixture.containers.handlers.stopContainer?.({ containerId: id, timeout: 0n } as never, context);
  const listed = (await call('listContainerStats', {})).stats;
  assert.deepEqual([listed.length, listed[0].cpu, listed[0].memory], [1, undefined, undefined]);
});

test('every described metric has a value with as many labels as it has keys', async (t) => {
  const fixture = await openFixture(t);
  const call = statsOf(t, fixture);
  await fixture.run('sleep 100', {
    linux: {
      resources: { cpuPeriod: 100000n, cpuQuota: 20000n, cpuShares: 1024n, memoryLimitInBytes: 67108864n },
    },
  } as never);
  const descriptors = metricDescriptors();
  assert.equal(descriptors.length, 56);
  const [pod] = (await call('listPodSandboxMetrics', {})).podMetrics;
  const found = new Map<string, string[][]>();
  for (const metric of [...pod.metrics, ...pod.containerMetrics[0].metrics])
    found.set(metric.name, [...(found.get(metric.name) ?? []), metric.labelValues]);
  // What this machine may lack: pressure on version 1 cgroups, block devices, a huge page controller, interfaces.
  const optional = /pressure|hugetlb|fs_(reads|writes)|blkio|network/;
  for (const { name = '', labelKeys = [] } of descriptors) {
    if (!optional.test(name)) assert.ok(found.has(name), name);
    for (const values of found.get(name) ?? []) assert.equal(values.length, labelKeys.length, name);
  }
  const value = (name: string) =>
    pod.containerMetrics[0].metrics.find((metric: { name: string }) => metric.name === name).value.value;
  assert.equal(value('container_spec_memory_limit_bytes'), 67108864n);
  // On version 2 shares are kept as a weight of 1 to 10000, and some come back as others.
  const shares = cgroupLayout().mode === 'unified' ? 998n : 1024n;
  assert.deepEqual([value('container_spec_cpu_quota'), value('container_spec_cpu_shares')], [20000n, shares]);
  assert.equal(value('container_processes'), 1n);
});

test('the sampler keeps samples a second apart, and forgets what nobody asks for', () => {
  let now = 0;
  using sampler = createCpuSampler(() => now);
  const read = () => 0n;
  assert.equal(sampler.rate('a', 0n, read), undefined);
  now = 500;
  assert.equal(sampler.rate('a', 100_000_000n, read), undefined);
  now = 2000;
  assert.equal(sampler.rate('a', 1_000_000_000n, read), 500_000_000n);
  now = 4000;
  assert.equal(sampler.rate('a', 10n, read), undefined, 'a counter that went back');
});

test('kernel files are parsed', () => {
  const [eth0] = parseNetDev(
    'x\ny\n    lo: 1 1 0 0 0 0 0 0 1 1 0 0 0 0 0 0\n  eth0:12 3 4 5 0 0 0 0 67 8 9 10 0 0 0 0\n',
  );
  assert.deepEqual(eth0, {
    name: 'eth0',
    rxBytes: 12n,
    rxPackets: 3n,
    rxErrors: 4n,
    rxDropped: 5n,
    txBytes: 67n,
    txPackets: 8n,
    txErrors: 9n,
    txDropped: 10n,
  });
  const pressure = parsePressure(
    'some avg10=1.50 avg60=0.25 avg300=0.00 total=12345\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=7',
  );
  assert.deepEqual(pressure?.some, { avg10: 1.5, avg60: 0.25, avg300: 0, total: 12345000n });
  assert.equal(pressure?.full.total, 7000n);
});
