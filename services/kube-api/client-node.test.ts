import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { type AddressInfo, createServer, type Server } from 'node:net';
import { join } from 'node:path';
import { PassThrough, Writable } from 'node:stream';
import { after, before, test } from 'node:test';
import * as k8s from '@kubernetes/client-node';
import type { ApiClient } from '#contracts/kubernetes/client/client.ts';
import { type FakeKubelet, startFakeKubelet } from './testing/kubelet.ts';
import { clientFor, registerNode, reportRunning } from './testing/node.ts';
import { startTestApi, type TestApi } from './testing/start.ts';

let folder = '';
let api: TestApi;
let kubelet: FakeKubelet;
let node: ApiClient;
let echo: Server;
const config = new k8s.KubeConfig();
let core: k8s.CoreV1Api;

before(async () => {
  folder = mkdtempSync('/tmp/skiff-');
  echo = createServer((socket) => void socket.pipe(socket).on('error', () => {}));
  await new Promise<void>((resolve) => echo.listen(0, '127.0.0.1', resolve));
  kubelet = await startFakeKubelet(join(folder, 'kubelet'), (echo.address() as AddressInfo).port);
  api = await startTestApi({ url: kubelet.url });
  node = clientFor(api.nodeKubeconfigPath);
  await registerNode(node, 'n1');
  config.loadFromFile(api.adminKubeconfigPath);
  core = config.makeApiClient(k8s.CoreV1Api);
  await core.createNamespacedPod({
    namespace: 'default',
    body: { metadata: { name: 'web' }, spec: { containers: [{ name: 'c', image: 'x:1' }] } },
  });
  for (let tries = 0; tries < 100; tries += 1) {
    const pod = await core.readNamespacedPod({ namespace: 'default', name: 'web' });
    if (pod.spec?.nodeName === 'n1') break;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  await reportRunning(node, 'default', 'web', ['c']);
});
after(async () => {
  await node.close();
  await api.end();
  await kubelet.stop();
  echo.close();
  rmSync(folder, { recursive: true });
});

/** Collects what is written until it holds `text`. */
function collector() {
  let seen = '';
  const waiting: (() => void)[] = [];
  const stream = new Writable({
    write(part: Buffer, _encoding, done) {
      seen += part.toString();
      for (const wake of waiting.splice(0)) wake();
      done();
    },
  });
  const until = async (text: string) => {
    while (!seen.includes(text)) await new Promise<void>((resolve) => waiting.push(resolve));
    return seen;
  };
  return { stream, until };
}

test('an informer sees objects come, change and go', async () => {
  const list = () => core.listNamespacedConfigMap({ namespace: 'default' });
  const informer = k8s.makeInformer(config, '/api/v1/namespaces/default/configmaps', list);
  const seen: string[] = [];
  const events = new PassThrough({ objectMode: true });
  for (const type of ['add', 'update', 'delete'] as const)
    informer.on(type, (object) => {
      if (object.metadata?.name === 'watched') {
        seen.push(type);
        events.write(type);
      }
    });
  await informer.start();
  const next = () => new Promise((resolve) => events.once('data', resolve));
  const added = next();
  await core.createNamespacedConfigMap({
    namespace: 'default',
    body: { metadata: { name: 'watched' }, data: { a: '1' } },
  });
  await added;
  const updated = next();
  await core.replaceNamespacedConfigMap({
    namespace: 'default',
    name: 'watched',
    body: { metadata: { name: 'watched' }, data: { a: '2' } },
  });
  await updated;
  const deleted = next();
  await core.deleteNamespacedConfigMap({ namespace: 'default', name: 'watched' });
  await deleted;
  await informer.stop();
  assert.deepEqual(seen, ['add', 'update', 'delete']);
});

test('Watch, the object API, and Log', async () => {
  const watch = new k8s.Watch(config);
  const first = Promise.withResolvers<string>();
  const request = await watch.watch(
    '/api/v1/pods',
    {},
    (type, object) => first.resolve(`${type} ${object.metadata.name}`),
    () => {},
  );
  assert.equal(await first.promise, 'ADDED web');
  request.abort();
  const objects = k8s.KubernetesObjectApi.makeApiClient(config);
  const made = await objects.create({
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name: 'o', namespace: 'default' },
  });
  assert.equal(made.metadata.name, 'o');
  await objects.delete({
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name: 'o', namespace: 'default' },
  });
  const { stream, until } = collector();
  await new k8s.Log(config).log('default', 'web', 'c', stream, { tailLines: 2 });
  assert.equal(await until('second'), 'first line\nsecond line\n');
});

test('Exec and Attach carry input, output and the exit code', async () => {
  const { stream, until } = collector();
  const input = new PassThrough();
  const status = Promise.withResolvers<k8s.V1Status>();
  await new k8s.Exec(config).exec(
    'default',
    'web',
    'c',
    ['exit', '3'],
    stream,
    null,
    input,
    false,
    status.resolve,
  );
  input.end('typed');
  await until('ran exit 3\ntyped');
  const { details, reason } = await status.promise;
  assert.equal(reason, 'NonZeroExitCode');
  assert.equal(details?.causes?.[0]?.message, '3');
  const attached = collector();
  const socket = await new k8s.Attach(config).attach(
    'default',
    'web',
    'c',
    attached.stream,
    null,
    null,
    false,
  );
  await attached.until('ran');
  socket.close();
});

test('PortForward carries bytes both ways', async () => {
  const { stream, until } = collector();
  const input = new PassThrough();
  const socket = await new k8s.PortForward(config).portForward('default', 'web', [80], stream, null, input);
  input.write('ping through');
  assert.match(await until('ping through'), /ping through/);
  if (typeof socket !== 'function') socket.close();
  else socket()?.close();
});
