import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, test } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import { DevicePlugin, Registration } from '#contracts/device-plugin/device-plugin_pb.ts';
import { PodResourcesLister } from '#contracts/device-plugin/pod-resources_pb.ts';
import type { Pod } from '#contracts/kubernetes/types.ts';
import { fakeClock } from '#foundation/base/fake-clock.ts';
import { silentLogger } from '#foundation/base/log.ts';
import { openChannel } from '#foundation/grpc/client.ts';
import { createRpcServer } from '#foundation/grpc/server.ts';
import { openAllocations } from './allocations.ts';
import { createDevices, type Devices } from './devices.ts';
import { createPodResourcesServer } from './pod-resources.ts';

const cleanups: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

async function until(what: string, check: () => boolean): Promise<void> {
  for (const end = Date.now() + 60_000; Date.now() < end; await wait(5)) if (check()) return;
  throw new Error(`not within 60 s: ${what}`);
}

async function setup() {
  const directory = mkdtempSync('/tmp/skiff-dev-');
  cleanups.push(() => rmSync(directory, { recursive: true, force: true }));
  const clock = fakeClock();
  const open = async () => {
    const devices = createDevices({
      directory,
      checkpoint: `${directory}/checkpoint`,
      numaNodes: [0, 1],
      clock,
      log: silentLogger,
    });
    await devices.start();
    cleanups.push(() => devices.stop());
    return devices;
  };
  return { directory, clock, open };
}

/** A plugin with devices a, b and a broken c, which prefers b. */
async function startPlugin(directory: string) {
  const server = createRpcServer();
  const asked: string[][] = [];
  const ended = Promise.withResolvers<void>();
  server.add(DevicePlugin, {
    listAndWatch: async function* (_request, { signal }) {
      const device = (ID: string, health: string) => ({ ID, health });
      yield { devices: [device('a', 'Healthy'), device('b', 'Healthy'), device('c', 'Unhealthy')] };
      signal.addEventListener('abort', () => ended.resolve());
      await ended.promise;
    },
    getPreferredAllocation: async () => ({ containerResponses: [{ deviceIDs: ['b'] }] }),
    allocate: async ({ containerRequests }) => {
      asked.push(containerRequests[0]?.devicesIds ?? []);
      return {
        containerResponses: [
          {
            envs: { DEVICE: containerRequests[0]?.devicesIds.join(',') ?? '' },
            devices: [{ containerPath: '/dev/x', hostPath: '/dev/null', permissions: 'rw' }],
          },
        ],
      };
    },
  });
  await server.listen(`unix://${directory}/vendor.sock`);
  const stop = () => {
    ended.resolve();
    return server.close(200);
  };
  cleanups.push(stop);
  return { asked, stop };
}

async function register(
  directory: string,
  resourceName = 'vendor.test/x',
  endpoint = 'vendor.sock',
): Promise<void> {
  using channel = openChannel(`unix://${directory}/kubelet.sock`);
  const options = { getPreferredAllocationAvailable: true };
  await channel.client(Registration).register({ version: 'v1beta1', endpoint, resourceName, options });
}

const podOf = (uid: string, count: string, initCount?: string): Pod => {
  const limits = (amount: string) => ({ resources: { limits: { 'vendor.test/x': amount } } });
  const initContainers = initCount === undefined ? [] : [{ name: 'i', image: 'i', ...limits(initCount) }];
  return {
    metadata: { name: uid, namespace: 'ns', uid },
    spec: { initContainers, containers: [{ name: 'c', image: 'i', ...limits(count) }] },
  };
};

/** As admission without a topology policy does. */
async function give(devices: Devices, pod: Pod): Promise<void> {
  for (const container of [...(pod.spec.initContainers ?? []), ...pod.spec.containers])
    await devices.allocate(pod, container, undefined);
}

const idsOf = (devices: Devices, uid: string, container = 'c') =>
  devices.list().allocations.find((each) => each.podUid === uid && each.container === container)?.ids;

test('a plugin registers, lists, and gives its devices once', async () => {
  const { directory, open } = await setup();
  const devices = await open();
  const { asked } = await startPlugin(directory);
  await register(directory);
  await until('devices are listed', () => devices.counts().capacity.get('vendor.test/x') === 3);
  assert.equal(devices.counts().allocatable.get('vendor.test/x'), 2);
  const first = podOf('one', '1');
  await give(devices, first);
  await give(devices, first);
  assert.deepEqual(asked, [['b']], 'the plugin’s choice, asked once');
  const given = await devices.given(first, first.spec.containers[0]!);
  assert.equal(given.envs.get('DEVICE'), 'b');
  assert.equal(given.devices[0]?.containerPath, '/dev/x');
  await assert.rejects(give(devices, podOf('two', '2')), /Requested: 2, Available: 1/);
  await give(devices, podOf('three', '1'));
  assert.deepEqual(idsOf(devices, 'three'), ['a']);
  devices.retain(new Set(['three']));
  await give(devices, podOf('four', '1'));
  assert.deepEqual(idsOf(devices, 'four'), ['b']);
});

test('init containers hand their devices on', async () => {
  const { directory, open } = await setup();
  const devices = await open();
  await startPlugin(directory);
  await register(directory);
  await until('devices are listed', () => devices.counts().allocatable.get('vendor.test/x') === 2);
  await give(devices, podOf('one', '2', '1'));
  assert.deepEqual(idsOf(devices, 'one', 'i'), ['b']);
  assert.deepEqual([...(idsOf(devices, 'one') ?? [])].sort(), ['a', 'b']);
});

test('after a restart of the kubelet nothing is given twice', async () => {
  const { directory, open } = await setup();
  const before = await open();
  await startPlugin(directory);
  await register(directory);
  await until('devices are listed', () => before.counts().allocatable.get('vendor.test/x') === 2);
  await give(before, podOf('one', '1'));
  await before.stop();
  const after = await open();
  assert.deepEqual(idsOf(after, 'one'), ['b']);
  const given = await after.given(podOf('one', '1'), podOf('one', '1').spec.containers[0]!);
  assert.equal(given.envs.get('DEVICE'), 'b');
});

test('a plugin that ends leaves broken devices, for five minutes', async () => {
  const { directory, open, clock } = await setup();
  const devices = await open();
  const plugin = await startPlugin(directory);
  await register(directory);
  await until('devices are listed', () => devices.counts().allocatable.get('vendor.test/x') === 2);
  await plugin.stop();
  await until('devices are broken', () => devices.counts().allocatable.get('vendor.test/x') === 0);
  assert.equal(devices.counts().capacity.get('vendor.test/x'), 3);
  await clock.advance(300_001);
  assert.equal(devices.counts().capacity.size, 0);
});

test('the socket of another kubelet is left alone', async () => {
  const { directory, open } = await setup();
  const first = await open();
  await open();
  await startPlugin(directory);
  await register(directory);
  await until('the first has it', () => first.counts().allocatable.get('vendor.test/x') === 2);
});

test('bad registrations are refused', async () => {
  const { directory, open } = await setup();
  await open();
  await assert.rejects(register(directory, 'nameless'), /not a resource name/);
  await assert.rejects(register(directory, 'vendor.test/x', 'none.sock'), /no socket "none.sock"/);
  await assert.rejects(register(directory, 'vendor.test/x', '../x.sock'), /no socket/);
});

test('the pod-resources API tells who has what', async () => {
  const { directory, open } = await setup();
  const devices = await open();
  await startPlugin(directory);
  await register(directory);
  await until('devices are listed', () => devices.counts().allocatable.get('vendor.test/x') === 2);
  const pod = podOf('one', '1');
  await give(devices, pod);
  const server = createPodResourcesServer({
    directory: `${directory}/pr`,
    pods: () => [pod],
    log: silentLogger,
    devices,
    cpus: { exclusive: () => [2, 3], allocatable: () => [0, 1, 2, 3] },
    memory: {
      blocks: () => [{ type: 'memory', size: 4096, numaAffinity: [0, 1] }],
      allocatable: () => [{ type: 'memory', size: 8192, numaAffinity: [0] }],
    },
    dynamicResources: { usedBy: () => [] },
  });
  await server.start();
  cleanups.push(() => server.stop());
  using channel = openChannel(`unix://${directory}/pr/kubelet.sock`);
  const client = channel.client(PodResourcesLister);
  const { podResources } = await client.list({});
  assert.deepEqual(podResources[0]?.containers[0]?.devices[0]?.deviceIds, ['b']);
  assert.deepEqual(podResources[0]?.containers[0]?.cpuIds, [2n, 3n]);
  assert.equal((await client.getAllocatableResources({})).devices.length, 2);
  assert.equal((await client.get({ podName: 'one', podNamespace: 'ns' })).podResources?.name, 'one');
  await assert.rejects(client.get({ podName: 'none', podNamespace: 'ns' }), /not found/);
});

test('devices are hinted and taken by NUMA node', async () => {
  const { directory, open } = await setup();
  const devices = await open();
  const server = createRpcServer();
  const ended = Promise.withResolvers<void>();
  const device = (ID: string, node?: number) => ({
    ID,
    health: 'Healthy',
    ...(node === undefined ? {} : { topology: { nodes: [{ ID: BigInt(node) }] } }),
  });
  server.add(DevicePlugin, {
    listAndWatch: async function* () {
      yield { devices: [device('a0', 0), device('b0', 0), device('c1', 1), device('d')] };
      await ended.promise;
    },
    getPreferredAllocation: async () => ({ containerResponses: [] }),
    allocate: async () => ({ containerResponses: [{}] }),
  });
  await server.listen(`unix://${directory}/vendor.sock`);
  cleanups.push(() => {
    ended.resolve();
    return server.close(200);
  });
  await register(directory);
  await until('devices are listed', () => devices.counts().capacity.get('vendor.test/x') === 4);
  const pod = podOf('one', '1');
  const [container] = pod.spec.containers;
  const hints = (each: Pod) => devices.hints(each, each.spec.containers[0]!).get('vendor.test/x');
  assert.deepEqual(hints(pod), [
    { affinity: 1, preferred: true },
    { affinity: 2, preferred: true },
    { affinity: 3, preferred: false },
  ]);
  await devices.allocate(pod, container!, 2);
  assert.deepEqual(idsOf(devices, 'one'), ['c1']);
  assert.deepEqual(hints(pod), [
    { affinity: 2, preferred: true },
    { affinity: 3, preferred: false },
  ]);
  assert.deepEqual(hints(podOf('two', '3')), [], 'the one without a place is on no node');
  const two = podOf('two', '3');
  await devices.allocate(two, two.spec.containers[0]!, 1);
  assert.deepEqual(idsOf(devices, 'two'), ['a0', 'b0', 'd'], 'near ones first, then what there is');
  assert.equal(devices.podHints(podOf('three', '1')).get('vendor.test/x')?.length, 0);
});

test('a damaged list of what was given away is refused with what to do', () => {
  const directory = mkdtempSync('/tmp/skiff-dev-');
  try {
    const path = join(directory, 'allocations');
    assert.deepEqual(openAllocations(path).all(), []);
    writeFileSync(path, '{"version":1,"ent');
    assert.throws(
      () => openAllocations(path),
      /Cannot read which devices .*drain the node and delete the file/,
    );
  } finally {
    rmSync(directory, { recursive: true });
  }
});
