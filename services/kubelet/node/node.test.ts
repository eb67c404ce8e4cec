import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fakeClock } from '#foundation/base/fake-clock.ts';
import { withDefaults } from '../configuration/defaults.ts';
import type { RuntimeHealth } from '../ports.ts';
import { nodeAddresses } from './addresses.ts';
import { type NodeResources, nodeAllocatable, podsLimit, toQuantities } from './capacity.ts';
import { nodeConditions } from './conditions.ts';
import { type Machine, parseMeminfo, readMachine } from './machine.ts';
import { createNodeInfo, type NodeInfoDeps } from './node-info.ts';

const gibi = 2 ** 30;

const machine: Machine = {
  machineId: 'm',
  systemUuid: 's',
  bootId: 'b',
  kernelVersion: '6.1',
  osImage: 'Debian',
  architecture: 'amd64',
  cpus: 4,
  memory: 8 * gibi,
  swap: 0,
  hugePages: new Map([['2Mi', gibi]]),
  bootedAt: 0,
};

const capacity: NodeResources = {
  milliCpu: 4000,
  memory: 8 * gibi,
  ephemeralStorage: 100 * gibi,
  pods: 110,
  hugePages: machine.hugePages,
  devices: new Map(),
};

test('allocatable is capacity less reserved, hard thresholds and huge pages; the pods’ limit leaves thresholds out', () => {
  const configuration = withDefaults(
    {
      kubeReserved: { cpu: '100m', memory: '1Gi', 'ephemeral-storage': '1Gi' },
      systemReserved: { cpu: '400m' },
      evictionHard: { 'memory.available': '512Mi', 'nodefs.available': '10%' },
    },
    true,
  );
  const allocatable = nodeAllocatable(capacity, configuration);
  assert.equal(allocatable.milliCpu, 3500);
  assert.equal(allocatable.memory, (8 - 1 - 0.5 - 1) * gibi);
  assert.equal(allocatable.ephemeralStorage, (100 - 1 - 10) * gibi);
  assert.deepEqual(podsLimit(capacity, configuration), { milliCpu: 3500, memory: 7 * gibi, pids: 0 });
});

test('quantities as the API has them', () => {
  assert.deepEqual(toQuantities({ ...capacity, milliCpu: 3500, devices: new Map([['v/gpu', 2]]) }), {
    cpu: '3500m',
    memory: '8388608Ki',
    'ephemeral-storage': '104857600Ki',
    pods: '110',
    'hugepages-2Mi': '1048576Ki',
    'v/gpu': '2',
  });
});

const calm = { memory: false, disk: false, pid: false };

test('conditions in their order; a transition is a change of status', () => {
  const first = nodeConditions({ pressure: calm, errors: [] }, [], 't1');
  assert.deepEqual(
    first.map(({ type, status, reason }) => `${type} ${status} ${reason}`),
    [
      'MemoryPressure False KubeletHasSufficientMemory',
      'DiskPressure False KubeletHasNoDiskPressure',
      'PIDPressure False KubeletHasSufficientPID',
      'Ready True KubeletReady',
    ],
  );
  const second = nodeConditions({ pressure: { ...calm, disk: true }, errors: ['a', 'b'] }, first, 't2');
  assert.deepEqual(
    second.map(({ status, lastTransitionTime }) => `${status} ${lastTransitionTime}`),
    ['False t1', 'True t2', 'False t1', 'False t2'],
  );
  assert.equal(second[3]?.message, '[a, b]');
  assert.equal(second[0]?.lastHeartbeatTime, 't2');
});

function setup(changes: Partial<NodeInfoDeps> = {}) {
  const health: RuntimeHealth = {
    runtimeErrors: () => [],
    networkErrors: () => [],
    syncLoopAge: () => 0,
    runtimeVersion: () => 'skiff://1',
    runtimeFeatures: () => ({
      handlers: [{ name: '', recursiveReadOnlyMounts: true, userNamespaces: false }],
      supplementalGroupsPolicy: true,
    }),
  };
  return createNodeInfo({
    name: 'n1',
    hostname: 'n1',
    nodeIps: ['192.0.2.1'],
    labels: { zone: 'a' },
    kubeletRoot: '/tmp',
    machine,
    configuration: withDefaults({ nodeStatusMaxImages: 1, maxPods: 10, podsPerCore: 2 }, true),
    images: {
      listImages: async () =>
        ({
          images: [
            { repoTags: ['small:1'], repoDigests: [], size: 1n },
            { repoTags: ['big:1'], repoDigests: ['big@sha256:1'], size: 9n },
          ],
        }) as never,
    },
    clock: fakeClock(),
    health: () => health,
    pressure: () => calm,
    devices: () => ({ capacity: new Map([['v/x', 2]]), allocatable: new Map([['v/x', 1]]) }),
    volumesInUse: () => ['b', 'a'],
    extraErrors: () => [],
    ...changes,
  });
}

test('the Node object', async () => {
  const { metadata, status } = await setup().node();
  assert.equal(metadata.labels?.['kubernetes.io/hostname'], 'n1');
  assert.equal(metadata.labels?.zone, 'a');
  assert.deepEqual(status?.addresses, [
    { type: 'InternalIP', address: '192.0.2.1' },
    { type: 'Hostname', address: 'n1' },
  ]);
  assert.deepEqual(status?.images, [{ names: ['big@sha256:1', 'big:1'], sizeBytes: 9 }]);
  assert.deepEqual(status?.volumesInUse, ['a', 'b']);
  assert.equal(status?.capacity?.pods, '8');
  assert.equal(status?.capacity?.['v/x'], '2');
  assert.equal(status?.allocatable?.['v/x'], '1');
  assert.equal(status?.nodeInfo?.containerRuntimeVersion, 'skiff://1');
  assert.equal(status?.runtimeHandlers?.[0]?.features?.recursiveReadOnlyMounts, true);
});

test('a node that shuts down, or whose runtime does not answer, is not ready', async () => {
  const node = await setup({
    extraErrors: () => ['node is shutting down'],
    images: { listImages: async () => Promise.reject(new Error('away')) },
  }).node();
  const ready = node.status?.conditions?.find(({ type }) => type === 'Ready');
  assert.equal(ready?.status, 'False');
  assert.equal(ready?.message, 'node is shutting down');
  assert.deepEqual(node.status?.images, []);
});

test('this machine', () => {
  const { cpus, memory, kernelVersion, bootedAt } = readMachine();
  assert.ok(cpus > 0 && memory > 0 && kernelVersion !== '' && bootedAt < Date.now());
  assert.ok(nodeAddresses([]).length > 0);
  assert.deepEqual(nodeAddresses(['192.0.2.9']), ['192.0.2.9']);
  assert.equal(parseMeminfo('MemTotal:  2 kB\nHugePages_Total: 3\n').get('MemTotal'), 2048);
});
