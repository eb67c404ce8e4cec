/** Statistics and metrics. */
import assert from 'node:assert/strict';
import { isSkiffError } from '#foundation/base/errors.ts';
import { fails } from '../expect.ts';
import { area } from '../rule.ts';

export const stats = area('stats', (rule) => {
  rule('ContainerStats: attributes, CPU, memory and the writable layer', async (t) => {
    const pod = await t.pod();
    const labels = { a: 'b' };
    const containerId = await t.start(pod, { metadata: { name: 'stats', attempt: 2 }, labels });
    await t.output(containerId, 'head -c 1000000 /dev/urandom > /file; sync');
    const found = await t.eventually('complete statistics', async () => {
      const { stats: now } = await t.cri.runtime.containerStats({ containerId });
      return now?.cpu && now.memory && (now.writableLayer?.usedBytes?.value ?? 0n) >= 1_000_000n
        ? now
        : undefined;
    });
    assert.equal(found.attributes?.id, containerId);
    assert.equal(found.attributes?.metadata?.name, 'stats');
    assert.deepEqual(found.attributes?.labels, labels);
    assert.ok((found.cpu?.usageCoreNanoSeconds?.value ?? 0n) > 0n);
    assert.ok((found.cpu?.timestamp ?? 0n) > 0n);
    assert.ok((found.memory?.workingSetBytes?.value ?? 0n) > 0n);
    assert.ok((found.writableLayer?.inodesUsed?.value ?? 0n) > 0n);
    assert.notEqual(found.writableLayer?.fsId?.mountpoint ?? '', '');
  });

  rule('the CPU time of a busy container grows', async (t) => {
    const { id: containerId } = await t.running({ command: ['sh', '-c', 'while true; do :; done'] });
    const read = async () =>
      (await t.cri.runtime.containerStats({ containerId })).stats?.cpu?.usageCoreNanoSeconds?.value ?? 0n;
    const before = await read();
    await t.eventually('growth', async () => (await read()) > before + 50_000_000n || undefined);
  });

  rule('memory that is left of a limit is told', async (t) => {
    const limit = 64n * 1024n * 1024n;
    const { id: containerId } = await t.running({ linux: { resources: { memoryLimitInBytes: limit } } });
    const { stats: found } = await t.cri.runtime.containerStats({ containerId });
    const memory = found?.memory;
    assert.equal(memory?.availableBytes?.value, limit - (memory?.workingSetBytes?.value ?? 0n));
    assert.ok((memory?.usageBytes?.value ?? 0n) >= (memory?.workingSetBytes?.value ?? 0n));
  });

  rule('ListContainerStats filters by id, sandbox and labels; without a filter it lists all', async (t) => {
    const { pod, id } = await t.running({ labels: { n: '1' } });
    const other = await t.start(pod, { labels: { n: '2' } });
    const list = async (filter?: object) =>
      (await t.cri.runtime.listContainerStats({ filter })).stats.map((each) => each.attributes?.id).sort();
    assert.deepEqual(await list({ podSandboxId: pod.id }), [id, other].sort());
    assert.deepEqual(await list({ id }), [id]);
    assert.deepEqual(await list({ podSandboxId: pod.id, labelSelector: { n: '2' } }), [other]);
    const all = await list();
    assert.ok(all.includes(id) && all.includes(other));
  });

  rule('ContainerStats of an unknown container fails', async ({ cri }) => {
    await fails(cri.runtime.containerStats({ containerId: '0'.repeat(64) }));
  });

  rule('PodSandboxStats: CPU, memory, network, processes, containers', async (t) => {
    const { pod, id } = await t.running({}, { linux: { cgroupParent: t.cgroupParent() } });
    const found = await t.eventually('complete statistics', async () => {
      const { stats: now } = await t.cri.runtime.podSandboxStats({ podSandboxId: pod.id });
      return now?.linux?.cpu && now.linux.memory ? now : undefined;
    });
    assert.equal(found.attributes?.id, pod.id);
    assert.equal(found.attributes?.metadata?.name, pod.config.metadata?.name);
    assert.ok((found.linux?.memory?.workingSetBytes?.value ?? 0n) > 0n);
    assert.equal(found.linux?.network?.defaultInterface?.name, 'eth0');
    assert.ok((found.linux?.process?.processCount?.value ?? 0n) > 0n);
    assert.deepEqual(
      found.linux?.containers.map((each) => each.attributes?.id),
      [id],
    );
  });

  rule(
    'ListPodSandboxStats filters by id and labels; without a filter it lists all',
    async (t) => {
      const label = { group: t.unique('group') };
      const linux = () => ({ cgroupParent: t.cgroupParent() });
      const { pod } = await t.running({}, { labels: label, linux: linux() });
      const other = await t.running({}, { linux: linux() });
      const list = async (filter?: object) =>
        (await t.cri.runtime.listPodSandboxStats({ filter })).stats.map((each) => each.attributes?.id);
      assert.deepEqual(await list({ labelSelector: label }), [pod.id]);
      assert.deepEqual(await list({ id: pod.id }), [pod.id]);
      const all = await list();
      assert.ok(all.includes(pod.id) && all.includes(other.pod.id));
    },
    { alone: true },
  );

  rule('metrics have a description each, and as many labels as it says', async (t) => {
    const { pod } = await t.running();
    const { descriptors } = await t.cri.runtime.listMetricDescriptors({});
    assert.ok(descriptors.length > 0);
    const keys = new Map(descriptors.map((each) => [each.name, each.labelKeys.length]));
    for (const each of descriptors) assert.ok(each.help !== '' && each.labelKeys.length > 0, each.name);
    const { podMetrics } = await t.cri.runtime.listPodSandboxMetrics({});
    const own = podMetrics.find((each) => each.podSandboxId === pod.id);
    assert.ok(own !== undefined, 'the pod has no metrics');
    const metrics = [...own.metrics, ...own.containerMetrics.flatMap((each) => each.metrics)];
    for (const each of metrics) assert.equal(each.labelValues.length, keys.get(each.name), each.name);
    assert.ok(metrics.some((each) => each.name === 'container_memory_usage_bytes'));
    assert.ok(metrics.some((each) => each.name === 'container_cpu_usage_seconds_total'));
  });

  rule(
    'the Stream RPCs give what the List RPCs give',
    async (t) => {
      const { pod, id } = await t.running();
      const { runtime, images } = t.cri;
      const collect = async <T, U>(stream: AsyncIterable<T>, items: (batch: T) => U[]): Promise<U[]> => {
        const all: U[] = [];
        for await (const batch of stream) {
          assert.ok(items(batch).length > 0, 'an empty batch');
          all.push(...items(batch));
        }
        return all;
      };
      const pods = await collect(runtime.streamPodSandboxes({}), (batch) => batch.podSandboxes);
      assert.ok(pods.some((each) => each.id === pod.id));
      const containers = await collect(
        runtime.streamContainers({ filter: { id } }),
        (batch) => batch.containers,
      );
      assert.deepEqual(
        containers.map((each) => each.id),
        [id],
      );
      const imageIds = await collect(images.streamImages({}), (batch) => batch.images);
      assert.equal(imageIds.length, (await images.listImages({})).images.length);
      const containerStats = await collect(
        runtime.streamContainerStats({ filter: { id } }),
        (batch) => batch.containerStats,
      );
      assert.deepEqual(
        containerStats.map((each) => each.attributes?.id),
        [id],
      );
      const podStats = await collect(
        runtime.streamPodSandboxStats({ filter: { id: pod.id } }),
        (batch) => batch.podSandboxStats,
      );
      assert.deepEqual(
        podStats.map((each) => each.attributes?.id),
        [pod.id],
      );
    },
    { alone: true },
  );

  rule('CheckpointContainer of what does not run, or without criu, fails with a reason', async (t) => {
    const containerId = await t.create(await t.pod());
    const call = t.cri.runtime.checkpointContainer({ containerId, location: `${t.directory}/c.tar` });
    await assert.rejects(call, (error) => isSkiffError(error) && error.message.length > 0);
  });
});
