/** Claims of pods with a driver that is a real gRPC server, found through the plugin registry. */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { afterEach, test } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import { Registration } from '#contracts/device-plugin/plugin-registration_pb.ts';
import { DRAPlugin } from '#contracts/dra/dra_pb.ts';
import { DRAPlugin as DRAPluginV1beta1 } from '#contracts/dra/dra-v1beta1_pb.ts';
import type { Pod } from '#contracts/kubernetes/types.ts';
import { SkiffError } from '#foundation/base/errors.ts';
import { fakeClock } from '#foundation/base/fake-clock.ts';
import { silentLogger } from '#foundation/base/log.ts';
import { systemClock } from '#foundation/base/time.ts';
import { createRpcServer } from '#foundation/grpc/server.ts';
import { createPluginRegistry } from '../devices/plugin-registry.ts';
import type { RestRequest } from '../ports.ts';
import { createDra } from './dra.ts';
import { createDraDrivers } from './drivers.ts';

const cleanups: (() => Promise<unknown> | unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

async function until(what: string, check: () => boolean): Promise<void> {
  for (const end = Date.now() + 60_000; Date.now() < end; await wait(5)) if (check()) return;
  throw new Error(`not within 60 s: ${what}`);
}

const { signal } = new AbortController();
const driverName = 'gpu.test';

const claimOf = (name: string, uid: string, pods: string[], more: object = {}) => ({
  metadata: { name, namespace: 'ns', uid, ...more },
  status: {
    allocation: { devices: { results: [{ driver: driverName, request: 'big' }] } },
    reservedFor: pods.map((pod) => ({ uid: pod })),
  },
});

const podOf = (uid: string, claims: NonNullable<Pod['spec']['resourceClaims']>): Pod => ({
  metadata: { name: uid, namespace: 'ns', uid },
  spec: {
    resourceClaims: claims,
    containers: [
      { name: 'all', image: 'i', resources: { claims: [{ name: 'g' }] } },
      { name: 'one', image: 'i', resources: { claims: [{ name: 'g', request: 'big' }] } },
      { name: 'none', image: 'i' },
    ],
  },
});
const named = [{ name: 'g', resourceClaimName: 'shared' }];

/** A driver whose claims have one device for the request `big`, one for `small`, one for any. */
async function startDriver(root: string, version: 'v1' | 'v1beta1', answers = { error: '', skip: false }) {
  const calls: string[] = [];
  const server = createRpcServer();
  server.add(Registration, {
    getInfo: async () => ({
      type: 'DRAPlugin',
      name: driverName,
      endpoint: `${root}/dra.sock`,
      supportedVersions: [`${version}.DRAPlugin`],
    }),
    notifyRegistrationStatus: async ({ pluginRegistered, error }) => {
      calls.push(`registered ${pluginRegistered} ${error}`);
      return {};
    },
  });
  const device = (deviceName: string, ...requestNames: string[]) => ({
    poolName: 'pool',
    deviceName,
    requestNames,
    cdiDeviceIds: [`${driverName}/gpu=${deviceName}`],
  });
  const devices = [device('b', 'big'), device('s', 'small'), device('a')];
  const service = {
    nodePrepareResources: async ({ claims }: { claims: { uid: string; name: string }[] }) => {
      calls.push(`prepare ${claims.map(({ name }) => name)}`);
      const own = { devices, error: answers.error };
      return { claims: answers.skip ? {} : Object.fromEntries(claims.map(({ uid }) => [uid, own])) };
    },
    nodeUnprepareResources: async ({ claims }: { claims: { uid: string; name: string }[] }) => {
      calls.push(`unprepare ${claims.map(({ name }) => name)}`);
      return { claims: Object.fromEntries(claims.map(({ uid }) => [uid, { error: answers.error }])) };
    },
  };
  if (version === 'v1') server.add(DRAPlugin, service);
  else server.add(DRAPluginV1beta1, service);
  await server.listen(`unix://${root}/dra.sock`);
  await server.listen(`unix://${root}/plugins_registry/dra.sock`);
  cleanups.push(() => server.close(200));
  return { calls, answers, server };
}

async function setup(version: 'v1' | 'v1beta1' = 'v1') {
  const root = mkdtempSync('/tmp/skiff-dra-');
  cleanups.push(() => rmSync(root, { recursive: true, force: true }));
  mkdirSync(`${root}/plugins_registry`);
  const objects: Record<string, unknown> = {};
  const requests: string[] = [];
  const api = {
    request: async <T>({ method, path }: RestRequest): Promise<T> => {
      requests.push(`${method} ${path}`);
      const name = path.split('/').pop() ?? '';
      if (method === 'GET' && objects[name] === undefined)
        throw new SkiffError('NOT_FOUND', `resourceclaims "${name}" not found`);
      return objects[name] as T;
    },
  };
  const clock = fakeClock();
  const drivers = createDraDrivers({ api, nodeName: 'n1', clock, log: silentLogger });
  cleanups.push(() => drivers.close());
  const open = () => createDra({ api, drivers, stateFile: `${root}/dra_manager_state`, log: silentLogger });
  const begin = async () => {
    const driver = await startDriver(root, version);
    const handlers = new Map([['DRAPlugin', drivers]]);
    const registry = createPluginRegistry({
      directory: `${root}/plugins_registry`,
      handlers,
      clock: systemClock,
      log: silentLogger,
    });
    await registry.start();
    cleanups.push(() => registry.stop());
    await until('the driver registered', () => driver.calls.length > 0);
    assert.deepEqual(driver.calls.splice(0), ['registered true ']);
    return driver;
  };
  return { root, objects, requests, drivers, clock, open, begin };
}

for (const version of ['v1', 'v1beta1'] as const)
  test(`a claim is prepared once, its CDI names given, and undone after its last pod (${version})`, async () => {
    const { objects, open, begin } = await setup(version);
    const { calls } = await begin();
    objects.shared = claimOf('shared', 'c1', ['one', 'two']);
    const dra = open();
    const first = podOf('one', named);
    await dra.prepare(first, signal);
    await dra.prepare(first, signal);
    await dra.prepare(podOf('two', named), signal);
    assert.deepEqual(calls.splice(0), ['prepare shared']);
    const [all, one, none] = first.spec.containers;
    const id = (name: string) => `${driverName}/gpu=${name}`;
    assert.deepEqual(dra.cdiDevices(first, all!), [id('b'), id('s'), id('a')]);
    assert.deepEqual(dra.cdiDevices(first, one!), [id('b'), id('a')]);
    assert.deepEqual(dra.cdiDevices(first, none!), []);
    assert.equal(dra.usedBy(first, one!)[0]?.claim.name, 'shared');
    await dra.unprepare('one', signal);
    assert.deepEqual(calls, [], 'the other pod still has it');
    const restarted = open();
    assert.deepEqual(restarted.cdiDevices(podOf('two', named), all!), [id('b'), id('s'), id('a')]);
    await restarted.unprepare('two', signal);
    await restarted.unprepare('two', signal);
    assert.deepEqual(calls, ['unprepare shared']);
    assert.deepEqual(open().cdiDevices(first, all!), []);
  });

test('a claim from a template is the pod’s own, or none is needed', async () => {
  const { objects, open, begin } = await setup();
  const { calls } = await begin();
  const entry = [{ name: 'g', resourceClaimTemplateName: 't' }];
  const pod = podOf('one', entry);
  await assert.rejects(open().prepare(pod, signal), /resource claim has not been created yet/);
  pod.status = { resourceClaimStatuses: [{ name: 'g' }] };
  await open().prepare(pod, signal);
  assert.deepEqual(calls, []);
  pod.status = { resourceClaimStatuses: [{ name: 'g', resourceClaimName: 'made' }] };
  objects.made = claimOf('made', 'c1', ['one'], { ownerReferences: [{ uid: 'other', controller: true }] });
  await assert.rejects(open().prepare(pod, signal), /was not created for pod one \(pod is not owner\)/);
  objects.made = claimOf('made', 'c1', ['one'], { ownerReferences: [{ uid: 'one', controller: true }] });
  const dra = open();
  await dra.prepare(pod, signal);
  assert.equal(dra.cdiDevices(pod, pod.spec.containers[0]!).length, 3);
});

const refused: [string, object | undefined, RegExp][] = [
  ['missing', undefined, /resourceclaims "shared" not found/],
  ['not allocated', { metadata: { name: 'shared', uid: 'c1' }, status: {} }, /is not allocated/],
  ['reserved for others', claimOf('shared', 'c1', ['two']), /is not allowed to use ResourceClaim shared/],
];
for (const [name, object, message] of refused)
  test(`a claim that is ${name} keeps its pod waiting`, async () => {
    const { objects, open, begin } = await setup();
    const { calls } = await begin();
    if (object !== undefined) objects.shared = object;
    await assert.rejects(open().prepare(podOf('one', named), signal), message);
    assert.deepEqual(calls, []);
  });

test('without its driver a claim is not begun; what a driver fails is tried again, and undone', async () => {
  const { objects, open, begin } = await setup();
  objects.shared = claimOf('shared', 'c1', ['one']);
  const dra = open();
  const pod = podOf('one', named);
  await assert.rejects(dra.prepare(pod, signal), /DRA driver gpu.test is not registered/);
  await dra.unprepare('one', signal);
  const { calls, answers } = await begin();
  answers.error = 'no power';
  await assert.rejects(
    dra.prepare(pod, signal),
    /NodePrepareResources failed for ResourceClaim shared: no power/,
  );
  answers.error = '';
  answers.skip = true;
  await assert.rejects(dra.prepare(pod, signal), /skipped ResourceClaim shared/);
  // A crash here leaves a claim that may be prepared: its pod's end undoes it.
  const restarted = open();
  await restarted.unprepare('one', signal);
  assert.deepEqual(calls.splice(0), ['prepare shared', 'prepare shared', 'unprepare shared']);
  answers.skip = false;
  await restarted.prepare(pod, signal);
  answers.error = 'busy';
  await assert.rejects(restarted.unprepare('one', signal), /NodeUnprepareResources failed.*busy/);
  answers.error = '';
  restarted.retain(new Set());
  await until(
    'the claim of the pod that is gone is undone',
    () => calls.at(-1) === 'unprepare shared' && calls.length === 3,
  );
});

test('a claim of the same name and another UID waits for the old one', async () => {
  const { objects, open, begin } = await setup();
  await begin();
  const dra = open();
  objects.shared = claimOf('shared', 'c1', ['one', 'two']);
  await dra.prepare(podOf('one', named), signal);
  objects.shared = claimOf('shared', 'c2', ['two']);
  await assert.rejects(dra.prepare(podOf('two', named), signal), /different UID c1 still exists/);
  await dra.unprepare('one', signal);
  await dra.prepare(podOf('two', named), signal);
});

test('a driver that is gone for long has its slices taken back; one that comes again does not', async () => {
  const { drivers, clock, requests } = await setup();
  const plugin = { type: 'DRAPlugin', name: driverName, endpoint: '/none.sock', versions: ['v1.DRAPlugin'] };
  await drivers.added(plugin);
  drivers.removed(driverName);
  await drivers.added(plugin);
  await clock.advance(31_000);
  assert.deepEqual(requests, []);
  drivers.removed(driverName);
  await clock.advance(31_000);
  const selector = encodeURIComponent('spec.nodeName=n1,spec.driver=gpu.test');
  assert.deepEqual(requests, [`DELETE /apis/resource.k8s.io/v1/resourceslices?fieldSelector=${selector}`]);
  await assert.rejects(
    drivers.added({ ...plugin, versions: ['v9.DRAPlugin'] }),
    /none of the DRA gRPC API services/,
  );
});

test('without an API server there are no claims', async () => {
  const { root, drivers } = await setup();
  const dra = createDra({ api: undefined, drivers, stateFile: `${root}/state`, log: silentLogger });
  await assert.rejects(dra.prepare(podOf('one', named), signal), /need an API server/);
  await dra.prepare(podOf('two', []), signal);
});
