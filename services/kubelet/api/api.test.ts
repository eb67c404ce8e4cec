/** The kubelet's API client against a small API server. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import type { ConfigMap, CoreEvent, Lease, Node, Pod } from '#contracts/kubernetes/types.ts';
import { silentLogger } from '#foundation/base/log.ts';
import { systemClock } from '#foundation/base/time.ts';
import { startFakeApi } from '../testing/api-server.ts';
import { podOf } from '../testing/pods.ts';
import { connectKubeletApi } from './connect.ts';
import { createApiEventSink } from './event-sink.ts';
import { keepNode } from './node-keeper.ts';
import { referencesOf } from './references.ts';

const clock = systemClock;
const logger = silentLogger;

async function until(what: string, check: () => boolean, ms = 60_000): Promise<void> {
  for (const end = Date.now() + ms; !check(); ) {
    if (Date.now() > end) throw new Error(`not within ${ms} ms: ${what}`);
    await wait(5);
  }
}

const path = (name: string) => `/api/v1/namespaces/ns/pods/${name}`;
const pod = (name: string, nodeName = 'n1') => podOf({ nodeName }, { name, uid: name });

test('pods of this node: listed, watched, through a broken watch and an expired version', async () => {
  await using server = await startFakeApi();
  const api = connectKubeletApi({ server: server.url }, { nodeName: 'n1', clock, logger });
  const stop = new AbortController();
  let names = '';
  server.put(path('a'), pod('a'));
  server.put(path('other'), pod('other', 'n2'));
  api.watchPods((pods) => {
    names = pods
      .map(({ metadata }) => metadata.name)
      .sort()
      .join(',');
  }, stop.signal);
  await until('the list', () => names === 'a');
  server.put(path('b'), pod('b'));
  await until('an addition', () => names === 'a,b');
  server.remove(path('a'));
  await until('a removal', () => names === 'b');
  server.breakWatches();
  await until(
    'a new watch',
    () => server.requests.filter((each) => each === 'WATCH /api/v1/pods').length >= 2,
  );
  server.put(path('c'), pod('c'));
  await until('an addition after the break', () => names === 'b,c');
  server.breakWatches(true);
  await until('a new list', () => server.requests.filter((each) => each === 'GET /api/v1/pods').length >= 2);
  server.put(path('d'), pod('d'));
  await until('an addition after 410', () => names === 'b,c,d');
  stop.abort();
  await api.stop();
});

test('a status is patched with the UID; what left it is removed; a deleted pod is no error', async () => {
  await using server = await startFakeApi();
  const api = connectKubeletApi({ server: server.url }, { nodeName: 'n1', clock, logger });
  const before = {
    ...pod('a'),
    status: { phase: 'Pending', reason: 'Old', conditions: [{ type: 'Ready', status: 'False' }] },
  };
  server.put(path('a'), before);
  const found = await api.getPod('ns', 'a');
  assert.ok(found);
  await api.patchPodStatus(found, { phase: 'Running', podIPs: [{ ip: '10.0.0.1' }] });
  const after = server.get<Pod>(path('a'));
  assert.deepEqual([after?.status?.phase, after?.status?.reason], ['Running', undefined]);
  assert.ok(server.requests.includes('PATCH /api/v1/namespaces/ns/pods/a/status'));
  await api.deletePod('ns', 'a', { uid: 'a', gracePeriodSeconds: 0 });
  await api.deletePod('ns', 'a', { uid: 'a', gracePeriodSeconds: 0 });
  assert.equal(await api.getPod('ns', 'a'), undefined);
  await api.stop();
});

test('configMaps are watched while a pod names them, and asked for when none does', async () => {
  await using server = await startFakeApi();
  const api = connectKubeletApi({ server: server.url }, { nodeName: 'n1', clock, logger });
  const map = (value: string): ConfigMap => ({
    metadata: { name: 'c', namespace: 'ns' },
    data: { k: value },
  });
  const at = '/api/v1/namespaces/ns/configmaps/c';
  server.put(at, map('1'));
  assert.equal((await api.configMap('ns', 'c'))?.data?.k, '1');
  assert.equal(await api.configMap('ns', 'none'), undefined);
  const user = podOf({ volumes: [{ name: 'v', configMap: { name: 'c' } }] });
  api.registerPod(user);
  await until('the watch', () => server.requests.includes('WATCH /api/v1/namespaces/ns/configmaps'));
  const before = server.requests.length;
  server.put(at, map('2'));
  let seen = '';
  await until('the change', () => {
    void api.configMap('ns', 'c').then((found) => {
      seen = found?.data?.k ?? '';
    });
    return seen === '2';
  });
  assert.equal(server.requests.length, before, 'a watched object is not asked for');
  api.unregisterPod(user);
  await api.configMap('ns', 'c');
  assert.ok(server.requests.length > before);
  await api.stop();
});

test('what a pod names', () => {
  const { configMaps, secrets } = referencesOf(
    podOf({
      imagePullSecrets: [{ name: 'pull' }],
      volumes: [
        { name: 'a', secret: { secretName: 's1' } },
        { name: 'b', projected: { sources: [{ secret: { name: 's2' } }, { configMap: { name: 'c1' } }] } },
      ],
      initContainers: [{ name: 'i', envFrom: [{ configMapRef: { name: 'c2' } }] }],
      containers: [
        { name: 'a', env: [{ name: 'X', valueFrom: { secretKeyRef: { name: 's3', key: 'k' } } }] },
      ],
    }),
  );
  assert.deepEqual([...configMaps].sort(), ['c1', 'c2']);
  assert.deepEqual([...secrets].sort(), ['pull', 's1', 's2', 's3']);
});

test('an event is written once, then counted up; an expired one is written anew', async () => {
  await using server = await startFakeApi();
  const api = connectKubeletApi({ server: server.url }, { nodeName: 'n1', clock, logger });
  const stop = new AbortController();
  const sink = createApiEventSink({ api, clock, logger, qps: 50, burst: 100 }, stop.signal);
  const event = (count: number): CoreEvent => ({
    metadata: { name: 'e', namespace: 'ns' },
    involvedObject: { kind: 'Pod', name: 'a' },
    count,
  });
  const at = '/api/v1/namespaces/ns/events/e';
  sink.record(event(1), false);
  sink.record(event(2), true);
  await until('the count', () => server.get<CoreEvent>(at)?.count === 2);
  server.remove(at);
  sink.record(event(3), true);
  await until('a new event', () => server.get<CoreEvent>(at)?.count === 3);
  stop.abort();
  await api.stop();
});

test('the node is registered, its status reported on change, its lease renewed', async () => {
  await using server = await startFakeApi();
  const api = connectKubeletApi({ server: server.url }, { nodeName: 'n1', clock, logger });
  const stop = new AbortController();
  let ready = 'False';
  const own = (): Node => ({
    metadata: { name: 'n1', labels: { 'kubernetes.io/hostname': 'n1' } },
    spec: {},
    status: {
      addresses: [{ type: 'InternalIP', address: '192.0.2.1' }],
      conditions: [{ type: 'Ready', status: ready, lastHeartbeatTime: String(Date.now()) }],
      // API servers leave out what is empty.
      images: [],
      volumesInUse: [],
    },
  });
  const node = { node: async () => own() };
  const at = '/api/v1/nodes/n1';
  server.put(at, { metadata: { name: 'n1', labels: { mine: 'kept' } } });
  const times = { updateMs: 30, reportMs: 60_000, durationSeconds: 1, register: true };
  const keeping = keepNode({ api, node, clock, logger, ...times }, stop.signal);
  const condition = () => server.get<Node>(at)?.status?.conditions?.[0]?.status;
  await until('the first report', () => condition() === 'False');
  ready = 'True';
  await until('the change', () => condition() === 'True');
  assert.deepEqual(server.get<Node>(at)?.metadata.labels, { mine: 'kept', 'kubernetes.io/hostname': 'n1' });
  assert.deepEqual(server.get<Node>(at)?.status?.addresses?.length, 1);
  const reports = () => server.requests.filter((each) => each === 'PATCH /api/v1/nodes/n1/status').length;
  const before = reports();
  await wait(200);
  assert.equal(reports(), before, 'heartbeat times alone are not reported');
  const lease = () => server.get<Lease>('/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/n1');
  const first = lease()?.spec?.renewTime;
  assert.equal(lease()?.spec?.holderIdentity, 'n1');
  await until('a renewal', () => lease()?.spec?.renewTime !== first);
  stop.abort();
  await keeping;
  await api.stop();
});

test('a node that somebody else makes is reported too, and so is one that is made anew', async () => {
  await using server = await startFakeApi();
  const api = connectKubeletApi({ server: server.url }, { nodeName: 'n1', clock, logger });
  const stop = new AbortController();
  const own: Node = {
    metadata: { name: 'n1', labels: { 'kubernetes.io/hostname': 'n1' } },
    spec: {},
    status: { conditions: [{ type: 'Ready', status: 'True' }] },
  };
  const node = { node: async () => structuredClone(own) };
  const at = '/api/v1/nodes/n1';
  const times = { updateMs: 30, reportMs: 60_000, durationSeconds: 1, register: false };
  const keeping = keepNode({ api, node, clock, logger, ...times }, stop.signal);
  await until('the question', () => server.requests.includes(`GET ${at}`));
  const lease = () => server.get<Lease>('/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/n1');
  const isTold = () => {
    const { metadata, status } = server.get<Node>(at) ?? {};
    const owner = lease()?.metadata.ownerReferences?.[0]?.uid;
    return status?.conditions?.[0]?.status === 'True' && owner === metadata?.uid;
  };
  const madeNodes = () => server.requests.filter((each) => each === 'POST /api/v1/nodes');
  server.put(at, { metadata: { name: 'n1', labels: { mine: 'kept' } } });
  await until('the first report', isTold);
  assert.deepEqual(server.get<Node>(at)?.metadata.labels, { mine: 'kept' });
  assert.deepEqual(madeNodes(), []);
  api.start();
  server.remove(at);
  server.put(at, { metadata: { name: 'n1' } });
  assert.equal(isTold(), false);
  await until('the report to the new one', isTold);
  assert.deepEqual(madeNodes(), []);
  stop.abort();
  await keeping;
  await api.stop();
});

test('a token bound to its pod', async () => {
  await using server = await startFakeApi();
  const api = connectKubeletApi({ server: server.url }, { nodeName: 'n1', clock, logger });
  const answer = await api.createToken('ns', 'default', {
    audiences: ['a'],
    expirationSeconds: 600,
    pod: pod('a'),
  });
  assert.deepEqual(answer, { token: 'a-token', expirationTimestamp: '2099-01-01T00:00:00Z' });
  await api.stop();
});
