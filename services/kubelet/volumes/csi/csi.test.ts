/** What CSI drivers may offer beyond mounting: growth, figures, health, renewal of credentials, modes of access. */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmdirSync, rmSync } from 'node:fs';
import { afterEach, test } from 'node:test';
import {
  NodeServiceCapability_RPC_Type as Capability,
  VolumeCapability_AccessMode_Mode as Mode,
  Node,
  VolumeUsage_Unit as Unit,
} from '#contracts/csi/csi_pb.ts';
import type { Pod } from '#contracts/kubernetes/types.ts';
import { SkiffError } from '#foundation/base/errors.ts';
import { fakeClock } from '#foundation/base/fake-clock.ts';
import { silentLogger } from '#foundation/base/log.ts';
import { createRegistry } from '#foundation/base/metrics.ts';
import { systemClock } from '#foundation/base/time.ts';
import { createRpcServer } from '#foundation/grpc/server.ts';
import type { RestRequest } from '../../ports.ts';
import { registerVolumeGauges } from '../../stats/volume-metrics.ts';
import { createVolumeMeter } from '../../stats/volume-usage.ts';
import { claimOf, createVolumeResolver } from '../claims.ts';
import { emptyDirPlugin } from '../empty-dir.ts';
import { createVolumeManager } from '../volumes.ts';
import { csiPlugin } from './csi.ts';
import { createCsiDrivers } from './drivers.ts';
import { csiUsage } from './usage.ts';

const cleanups: (() => Promise<unknown> | unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

const { signal } = new AbortController();
const claimPath = '/api/v1/namespaces/ns/persistentvolumeclaims/data';
const volumePath = '/api/v1/persistentvolumes/pv1';
const driverPath = '/apis/storage.k8s.io/v1/csidrivers/csi.test';

const claim = (capacity: string) => ({
  metadata: { name: 'data', namespace: 'ns', uid: 'c1' },
  spec: { volumeName: 'pv1' },
  status: {
    phase: 'Bound',
    capacity: { storage: capacity },
    conditions: [{ type: 'FileSystemResizePending', status: 'True' }],
  },
});
const persistent = (capacity: string, accessModes = ['ReadWriteOnce']) => ({
  metadata: { name: 'pv1' },
  spec: {
    capacity: { storage: capacity },
    csi: { driver: 'csi.test', volumeHandle: 'handle' },
    claimRef: { uid: 'c1' },
    accessModes,
  },
});

const podOf = (uid: string, volume: object): Pod => ({
  metadata: { name: 'web', namespace: 'ns', uid },
  spec: { containers: [], volumes: [{ name: 'v', ...volume }], securityContext: { fsGroup: 77 } },
});
const claimed = { persistentVolumeClaim: { claimName: 'data' } };

const nameOf = (mode: Mode | undefined) => Object.entries(Mode).find(([, value]) => value === mode)?.[0];

/** A driver that makes directories and tells what it was asked. */
async function startDriver(root: string, capabilities: readonly Capability[]) {
  const calls: string[] = [];
  const modes: string[] = [];
  const state = { expandError: undefined as SkiffError | undefined, abnormal: false };
  const server = createRpcServer();
  server.add(Node, {
    nodeGetCapabilities: async () => ({
      capabilities: capabilities.map((type) => ({ type: { case: 'rpc' as const, value: { type } } })),
    }),
    nodeGetInfo: async () => ({ nodeId: 'n' }),
    nodePublishVolume: async ({ targetPath, volumeContext, volumeCapability }) => {
      calls.push(`publish ${JSON.stringify(volumeContext)}`);
      const type = volumeCapability?.accessType;
      const group = type?.case === 'mount' ? type.value.volumeMountGroup : 'block';
      modes.push(`${nameOf(volumeCapability?.accessMode?.mode)} ${group}`);
      mkdirSync(targetPath, { recursive: true });
      return {};
    },
    nodeUnpublishVolume: async ({ targetPath }) => {
      rmdirSync(targetPath);
      return {};
    },
    nodeExpandVolume: async ({ capacityRange, volumePath: path }) => {
      calls.push(`expand ${capacityRange?.requiredBytes} ${path.split('/').pop()}`);
      if (state.expandError !== undefined) throw state.expandError;
      return {};
    },
    nodeGetVolumeStats: async () => {
      calls.push('stats');
      return {
        usage: [
          { unit: Unit.BYTES, available: 60n, total: 100n, used: 40n },
          { unit: Unit.INODES, available: 6n, total: 10n, used: 4n },
        ],
        volumeCondition: { abnormal: state.abnormal, message: state.abnormal ? 'scratched' : '' },
      };
    },
  });
  await server.listen(`unix://${root}/csi.sock`);
  cleanups.push(() => server.close(200));
  return { calls, modes, state };
}

async function setup(objects: Record<string, unknown>, ...capabilities: Capability[]) {
  const root = mkdtempSync('/tmp/skiff-csi-');
  cleanups.push(() => rmSync(root, { recursive: true, force: true }));
  objects[driverPath] ??= { spec: { attachRequired: false } };
  const patches: unknown[] = [];
  const api = {
    request: async <T>({ method, path, body }: RestRequest): Promise<T> => {
      if (method === 'PATCH') {
        assert.equal(path, `${claimPath}/status`);
        patches.push((body as { status: unknown }).status);
      } else if (method === 'GET' && objects[path] === undefined)
        throw new SkiffError('NOT_FOUND', `${path} not found`);
      return objects[path] as T;
    },
  };
  const driver = await startDriver(root, capabilities);
  const drivers = createCsiDrivers({ api: undefined, nodeName: 'n1' });
  cleanups.push(() => drivers.close());
  await drivers.added({ type: 'CSIPlugin', name: 'csi.test', endpoint: `${root}/csi.sock`, versions: ['1'] });
  const events: string[] = [];
  const told = {
    pod: (_pod: Pod, _type: string, reason: string, message: string) =>
      void events.push(`${reason}: ${message}`),
  };
  const plugin = csiPlugin({
    kubeletRoot: root,
    drivers,
    objects: { configMap: async () => undefined, secret: async () => undefined },
    api,
    nodeName: 'n1',
    attachments: undefined,
    tokens: { token: async (_pod, { audience }) => `token-for-${audience}` },
    events: told,
  });
  const manager = createVolumeManager({
    kubeletRoot: root,
    plugins: [plugin, emptyDirPlugin({ allocatableMemory: () => 2 ** 20 })],
    resolve: createVolumeResolver(api),
    clock: systemClock,
    events: told,
    log: silentLogger,
  });
  return { root, drivers, manager, patches, events, told, ...driver };
}

test('a volume that grew is enlarged while it is mounted, and its claim is told', async () => {
  const objects: Record<string, unknown> = { [claimPath]: claim('1Gi'), [volumePath]: persistent('1Gi') };
  const { manager, calls, patches, events } = await setup(objects, Capability.EXPAND_VOLUME);
  const pod = podOf('u1', claimed);
  await manager.waitForMounts(pod, signal);
  assert.deepEqual(calls.splice(0), ['publish {}']);
  objects[volumePath] = persistent('2Gi');
  await manager.waitForMounts(pod, signal);
  assert.deepEqual(calls.splice(0), [`expand ${2 ** 31} mount`]);
  assert.deepEqual(patches, [
    { allocatedResourceStatuses: { storage: 'NodeResizeInProgress' } },
    { capacity: { storage: '2Gi' }, allocatedResourceStatuses: { storage: null }, conditions: [] },
  ]);
  assert.deepEqual(events, [
    'FileSystemResizeSuccessful: MountVolume.NodeExpandVolume succeeded for volume "pv1"',
  ]);
  objects[claimPath] = claim('2Gi');
  await manager.waitForMounts(pod, signal);
  assert.deepEqual(calls, []);
});

test('growth that fails leaves the volume as it is; what can never work is told so', async () => {
  const objects: Record<string, unknown> = { [claimPath]: claim('1Gi'), [volumePath]: persistent('1Gi') };
  const { manager, state, patches, events } = await setup(objects, Capability.EXPAND_VOLUME);
  const pod = podOf('u1', claimed);
  await manager.waitForMounts(pod, signal);
  objects[volumePath] = persistent('2Gi');
  state.expandError = new SkiffError('UNAVAILABLE', 'later');
  await manager.waitForMounts(pod, signal);
  assert.equal(patches.length, 1);
  assert.match(events.at(-1) ?? '', /^VolumeResizeFailed: .* for volume "pv1" : .*later/);
  state.expandError = new SkiffError('OUT_OF_RANGE', 'too large');
  await manager.waitForMounts(pod, signal);
  assert.deepEqual(patches.at(-1), { allocatedResourceStatuses: { storage: 'NodeResizeInfeasible' } });
});

test('a driver that cannot enlarge is not asked', async () => {
  const { manager, calls, patches } = await setup({
    [claimPath]: claim('1Gi'),
    [volumePath]: persistent('2Gi'),
  });
  await manager.waitForMounts(podOf('u1', claimed), signal);
  assert.deepEqual(calls, ['publish {}']);
  assert.deepEqual(patches, []);
});

for (const [name, capabilities, accessModes, wanted] of [
  ['one writer', [], ['ReadWriteOnce'], 'SINGLE_NODE_WRITER '],
  [
    'one writer told apart',
    [Capability.SINGLE_NODE_MULTI_WRITER],
    ['ReadWriteOncePod'],
    'SINGLE_NODE_SINGLE_WRITER ',
  ],
  [
    'several writers told apart',
    [Capability.SINGLE_NODE_MULTI_WRITER],
    ['ReadWriteOnce'],
    'SINGLE_NODE_MULTI_WRITER ',
  ],
  ['many nodes', [], ['ReadWriteMany', 'ReadWriteOnce'], 'MULTI_NODE_MULTI_WRITER '],
  ['readers', [], ['ReadOnlyMany'], 'MULTI_NODE_READER_ONLY '],
  ['a group the driver sees to', [Capability.VOLUME_MOUNT_GROUP], ['ReadWriteOnce'], 'SINGLE_NODE_WRITER 77'],
] as const)
  test(`access: ${name}`, async () => {
    const objects = { [claimPath]: claim('1Gi'), [volumePath]: persistent('1Gi', [...accessModes]) };
    const { manager, modes } = await setup(objects, ...capabilities);
    await manager.waitForMounts(podOf('u1', claimed), signal);
    assert.deepEqual(modes, [wanted]);
  });

test('inline volumes need a driver that makes them; tokens are given, and again at every sync', async () => {
  const objects: Record<string, unknown> = {
    [driverPath]: {
      spec: {
        attachRequired: false,
        requiresRepublish: true,
        tokenRequests: [{ audience: 'vault' }],
        volumeLifecycleModes: ['Ephemeral'],
      },
    },
  };
  const { manager, calls } = await setup(objects);
  const pod = podOf('u1', { csi: { driver: 'csi.test' } });
  await manager.waitForMounts(pod, signal);
  await manager.waitForMounts(pod, signal);
  const context = { 'csi.storage.k8s.io/serviceAccount.tokens': '{"vault":{"token":"token-for-vault"}}' };
  const wanted = `publish ${JSON.stringify(context)}`;
  assert.deepEqual(calls.splice(0), [wanted, wanted]);
  objects[driverPath] = { spec: { attachRequired: false } };
  const other = AbortSignal.timeout(300);
  await assert.rejects(manager.waitForMounts(podOf('u2', { csi: { driver: 'csi.test' } }), other));
  assert.deepEqual(calls, []);
});

test('figures and health of volumes, at most once a minute', async () => {
  const objects = { [claimPath]: claim('1Gi'), [volumePath]: persistent('1Gi') };
  const both = [Capability.GET_VOLUME_STATS, Capability.VOLUME_CONDITION];
  const { root, drivers, manager, calls, state, events, told } = await setup(objects, ...both);
  const pod = podOf('u1', claimed);
  pod.spec.volumes?.push({ name: 'scratch', emptyDir: {} });
  const mounts = await manager.waitForMounts(pod, signal);
  calls.splice(0);
  const clock = fakeClock();
  const meter = createVolumeMeter({
    mountsOf: manager.mountsOf,
    claimOf: (each, name) =>
      claimOf(each, each.spec.volumes?.find((volume) => volume.name === name) as never),
    csi: (path) => csiUsage({ kubeletRoot: root, drivers }, path),
    clock,
    periodMs: 60_000,
    events: told,
    log: silentLogger,
  });
  const [[, volumes] = []] = [...(await meter.measure([pod]))];
  assert.deepEqual(volumes?.[0], {
    name: 'v',
    claim: 'data',
    figures: {
      available: 60,
      capacity: 100,
      used: 40,
      inodesFree: 6,
      inodes: 10,
      inodesUsed: 4,
      problem: '',
    },
  });
  const scratch = volumes?.[1]?.figures;
  assert.equal(scratch?.inodesUsed, 1);
  assert.ok((scratch?.capacity ?? 0) > (scratch?.used ?? 0));
  await meter.measure([pod]);
  assert.deepEqual(calls, ['stats']);
  state.abnormal = true;
  await clock.advance(61_000);
  const registry = createRegistry();
  registerVolumeGauges(registry, meter, () => [pod]);
  const text = await registry.metrics();
  assert.match(text, /^kubelet_volume_stats_used_bytes\{namespace="ns",persistentvolumeclaim="data"\} 40$/m);
  assert.match(text, /^kubelet_volume_stats_health_status_abnormal\{.*\} 1$/m);
  assert.deepEqual(events, ['VolumeConditionAbnormal: Volume v: scratched']);
  assert.equal(mounts.get('v')?.hostPath, `${root}/pods/u1/volumes/kubernetes.io~csi/pv1/mount`);
});
