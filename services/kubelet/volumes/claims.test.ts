/** Claims, local volumes and CSI with a driver that mounts for real, found through the plugin registry. */
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { afterEach, test } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import type { Pod } from '#contracts/kubernetes/types.ts';
import { SkiffError } from '#foundation/base/errors.ts';
import { silentLogger } from '#foundation/base/log.ts';
import { systemClock } from '#foundation/base/time.ts';
import { mountsBelow, unmountTree } from '#foundation/linux/mount.ts';
import { createPluginRegistry } from '../devices/plugin-registry.ts';
import type { RestRequest } from '../ports.ts';
import { startCsiDriver } from '../testing/csi-driver.ts';
import { createVolumeResolver } from './claims.ts';
import { csiPlugin } from './csi/csi.ts';
import { createCsiDrivers } from './csi/drivers.ts';
import { attachedVolumes } from './csi/volume-data.ts';
import { localPlugin } from './local.ts';
import { createVolumeManager } from './volumes.ts';

const cleanups: (() => Promise<unknown> | unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

const { signal } = new AbortController();

/** An API of a few objects by path; what is put or posted is kept. */
function fakeApi(objects: Record<string, unknown>) {
  return {
    objects,
    request: async <T>({ method, path, body }: RestRequest): Promise<T> => {
      if (method === 'POST')
        objects[`${path}/${(body as { metadata: { name: string } }).metadata.name}`] = body;
      else if (method === 'PUT') objects[path] = body;
      else if (objects[path] === undefined) throw new SkiffError('NOT_FOUND', `${path} not found`);
      return objects[path] as T;
    },
  };
}

const claim = (uid: string, volumeName: string, more: object = {}) => ({
  metadata: { name: 'data', uid, ...more },
  spec: { volumeName },
  status: { phase: 'Bound' },
});
const persistent = (name: string, claimUid: string, source: object) => ({
  metadata: { name },
  spec: { ...source, claimRef: { uid: claimUid }, accessModes: ['ReadWriteOnce'] },
});
const podOf = (uid: string, volume: object): Pod => ({
  metadata: { name: 'web', namespace: 'ns', uid },
  spec: { containers: [], volumes: [{ name: 'v', ...volume }] },
});
const claimed = { persistentVolumeClaim: { claimName: 'data' } };
const claimPath = '/api/v1/namespaces/ns/persistentvolumeclaims/data';

async function setup(objects: Record<string, unknown>) {
  const events: string[] = [];
  const told = {
    pod: (_pod: Pod, _type: string, reason: string, message: string) =>
      void events.push(`${reason}: ${message}`),
  };
  const tokens = { token: async (_pod: Pod, { audience }: { audience?: string }) => `token-for-${audience}` };
  const more = { events: told, tokens, attachments: undefined };
  const root = mkdtempSync('/tmp/skiff-pv-');
  cleanups.push(() => {
    unmountTree(root);
    rmSync(root, { recursive: true, force: true });
  });
  const api = fakeApi(objects);
  const drivers = createCsiDrivers({ api, nodeName: 'n1' });
  cleanups.push(() => drivers.close());
  const objectsOf = { configMap: async () => undefined, secret: async () => undefined };
  const manager = createVolumeManager({
    kubeletRoot: root,
    plugins: [
      localPlugin(),
      csiPlugin({ kubeletRoot: root, drivers, objects: objectsOf, api, nodeName: 'n1', ...more }),
    ],
    resolve: createVolumeResolver(api),
    clock: systemClock,
    events: { pod: () => {} },
    log: silentLogger,
  });
  return { root, api, drivers, manager, events, more };
}

async function startDriver(root: string) {
  const driver = await startCsiDriver({
    name: 'csi.test',
    directory: root,
    registry: `${root}/plugins_registry`,
  });
  cleanups.push(() => driver[Symbol.asyncDispose]());
  return driver.calls;
}

test('a local volume behind a claim is bound for the pod and kept when the pod goes', async () => {
  const { root, api, manager } = await setup({ [claimPath]: claim('c1', 'pv1') });
  mkdirSync(`${root}/disk`);
  writeFileSync(`${root}/disk/f`, 'data');
  api.objects['/api/v1/persistentvolumes/pv1'] = persistent('pv1', 'c1', { local: { path: `${root}/disk` } });
  const mounts = await manager.waitForMounts(podOf('u1', claimed), signal);
  const path = mounts.get('v')?.hostPath ?? '';
  assert.equal(path, `${root}/pods/u1/volumes/kubernetes.io~local-volume/pv1`);
  assert.equal(readFileSync(`${path}/f`, 'utf8'), 'data');
  await manager.unmountAll('u1', signal);
  assert.equal(existsSync(path), false);
  assert.equal(readFileSync(`${root}/disk/f`, 'utf8'), 'data');
});

for (const [name, object, volume, wanted] of [
  ['missing', undefined, claimed, /persistentvolumeclaims data not found/],
  ['pending', { ...claim('c1', ''), status: { phase: 'Pending' } }, claimed, /PVC data is not bound/],
  ['going', claim('c1', 'pv1', { deletionTimestamp: 'x' }), claimed, /being deleted/],
  ['another’s', claim('other', 'pv1'), claimed, /binding is not finalized/],
] as const)
  test(`a claim that is ${name} is refused`, async () => {
    const api = fakeApi({
      ...(object === undefined ? {} : { [claimPath]: object }),
      '/api/v1/persistentvolumes/pv1': persistent('pv1', 'c1', { local: { path: '/' } }),
    });
    const pod = podOf('u1', volume);
    await assert.rejects(createVolumeResolver(api)(pod, pod.spec.volumes?.[0] as never), wanted);
  });

test('an ephemeral volume must be the pod’s own', async () => {
  const owner = (uid: string) => ({ ownerReferences: [{ controller: true, uid }] });
  const path = '/api/v1/namespaces/ns/persistentvolumeclaims/web-v';
  const pod = podOf('u1', { ephemeral: {} });
  const resolve = (uid: string) =>
    createVolumeResolver(
      fakeApi({
        [path]: claim('c1', 'pv1', owner(uid)),
        '/api/v1/persistentvolumes/pv1': persistent('pv1', 'c1', {}),
      }),
    )(pod, pod.spec.volumes?.[0] as never);
  assert.equal((await resolve('u1')).name, 'pv1');
  await assert.rejects(resolve('stranger'), /pod is not owner/);
});

test('CSI: registered, staged once, published to each pod, taken away again', async () => {
  const { root, api, drivers, manager } = await setup({
    [claimPath]: claim('c1', 'pv1'),
    '/api/v1/persistentvolumes/pv1': persistent('pv1', 'c1', {
      csi: { driver: 'csi.test', volumeHandle: 'handle' },
    }),
    '/apis/storage.k8s.io/v1/csidrivers/csi.test': { spec: { attachRequired: false, podInfoOnMount: true } },
  });
  const calls = await startDriver(root);
  const registry = createPluginRegistry({
    directory: `${root}/plugins_registry`,
    handlers: new Map([['CSIPlugin', drivers]]),
    clock: systemClock,
    log: silentLogger,
  });
  await registry.start();
  cleanups.push(() => registry.stop());
  for (const end = Date.now() + 60_000; calls.length === 0 && Date.now() < end; ) await wait(5);
  assert.deepEqual(calls.splice(0), ['registered true ']);
  const node = api.objects['/apis/storage.k8s.io/v1/csinodes/n1'] as { spec: { drivers: object[] } };
  assert.deepEqual(node.spec.drivers[0], {
    name: 'csi.test',
    nodeID: 'node-id',
    topologyKeys: [],
    allocatable: { count: 5 },
  });
  const first = await manager.waitForMounts(podOf('u1', claimed), signal);
  await manager.waitForMounts(podOf('u2', claimed), signal);
  const path = first.get('v')?.hostPath ?? '';
  assert.equal(path, `${root}/pods/u1/volumes/kubernetes.io~csi/pv1/mount`);
  writeFileSync(`${path}/f`, 'through');
  assert.equal(readFileSync(`${root}/store/handle/f`, 'utf8'), 'through');
  assert.deepEqual(calls.splice(0), ['stage ', 'publish web', 'stage ', 'publish web']);
  await manager.unmountAll('u1', signal);
  assert.deepEqual(calls.splice(0), ['unpublish'], 'another pod has it still');
  await manager.unmountAll('u2', signal);
  assert.deepEqual(calls.splice(0), ['unpublish', 'unstage']);
  assert.equal(await manager.hasMounts('u2'), false);
  assert.deepEqual(mountsBelow(root), []);
  assert.equal(readFileSync(`${root}/store/handle/f`, 'utf8'), 'through', 'the data is the driver’s');
});

test('CSI: a volume that is to be attached waits for it and says which attachment', async () => {
  const { root, drivers, more } = await setup({});
  const api = fakeApi({ '/apis/storage.k8s.io/v1/csidrivers/csi.test': {} });
  const plugin = csiPlugin({
    kubeletRoot: root,
    drivers,
    objects: { configMap: async () => undefined, secret: async () => undefined },
    api,
    nodeName: 'n1',
    ...more,
  });
  const volume = { name: 'v', csi: { driver: 'csi.test' } };
  const request = {
    pod: podOf('u1', volume),
    volume,
    paths: {} as never,
    directory: `${root}/x`,
    persistent: persistent('pv1', 'c1', { csi: { driver: 'csi.test', volumeHandle: 'handle' } }) as never,
    claim: undefined,
    readOnly: false,
    signal,
  };
  await assert.rejects(plugin.mount(request), /volumeattachments\/csi-[0-9a-f]{64} not found/);
  assert.deepEqual(attachedVolumes(root), []);
});
