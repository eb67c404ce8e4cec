import assert from 'node:assert/strict';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { networkInterfaces } from 'node:os';
import { after, before, test } from 'node:test';
import { Agent, request } from 'undici';
import type { ApiClient } from '#contracts/kubernetes/client/client.ts';
import { loadKubeconfig } from '#contracts/kubernetes/client/kubeconfig.ts';
import { decodeObject, encodeObject, protobufType } from '#contracts/kubernetes/protobuf/envelope.ts';
import { clientFor, registerNode, reportRunning } from './testing/node.ts';
import { startTestApi, type TestApi } from './testing/start.ts';

/** An address of this machine that is not loopback: calls to it stay on the machine. */
const address = Object.values(networkInterfaces())
  .flatMap((each) => each ?? [])
  .find(({ internal, family }) => !internal && family === 'IPv4')?.address;
const skip = address === undefined ? 'this machine has no address but loopback' : false;

let api: TestApi;
let admin: ApiClient;
let node: ApiClient;
let server: Server;
let port = 0;
let agent: Agent;

before(async () => {
  server = createServer((asked, answer) => {
    let body = '';
    asked.on('data', (part: Buffer) => {
      body += part.toString();
    });
    asked.on('end', () => {
      answer.writeHead(asked.url === '/missing' ? 404 : 200, { 'x-pod': 'yes' });
      const said = asked.headers.authorization ?? 'no credentials';
      answer.end(`${asked.method} ${asked.url} ${body} ${said}`);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, address ?? '127.0.0.1', resolve));
  port = (server.address() as AddressInfo).port;
  api = await startTestApi();
  admin = clientFor(api.adminKubeconfigPath);
  node = clientFor(api.nodeKubeconfigPath);
  const { ca, cert, key } = loadKubeconfig(api.adminKubeconfigPath);
  agent = new Agent({ connect: { ca, cert, key } });
  await registerNode(node, 'n1');
});
after(async () => {
  await Promise.all([admin.close(), node.close(), agent.close()]);
  await api.end();
  server.close();
});

async function call(
  method: 'GET' | 'POST',
  path: string,
  headers: Record<string, string> = {},
  body?: Buffer | string,
) {
  const answer = await request(`${api.url}${path}`, { method, dispatcher: agent, headers, body });
  return {
    status: answer.statusCode,
    headers: answer.headers,
    bytes: Buffer.from(await answer.body.arrayBuffer()),
  };
}

const namespace = '/api/v1/namespaces/default';

async function makePod(name: string, podIP: string): Promise<void> {
  const container = { name: 'c', image: 'x:1', ports: [{ name: 'web', containerPort: port }] };
  await admin.create(`${namespace}/pods`, {
    metadata: { name, labels: { app: name } },
    spec: { nodeName: 'n1', containers: [container] },
  });
  await reportRunning(node, 'default', name, ['c']);
  await node.patch(`${namespace}/pods/${name}/status`, 'merge-patch', {
    status: { podIP, podIPs: [{ ip: podIP }] },
  });
}

test('calls reach pods and services by name and port, without the credentials of the caller', {
  skip,
}, async () => {
  await makePod('web', address ?? '');
  const ports = [{ name: 'http', port: 80, targetPort: 'web' }];
  await admin.create(`${namespace}/services`, {
    metadata: { name: 'svc' },
    spec: { selector: { app: 'web' }, ports },
  });
  const text = async (path: string, method: 'GET' | 'POST' = 'GET', body?: string) => {
    const { status, bytes } = await call(method, `${namespace}/${path}`, {}, body);
    return `${status} ${bytes.toString()}`;
  };
  assert.equal(await text('pods/web/proxy/a/b?c=d'), '200 GET /a/b?c=d  no credentials');
  assert.equal(await text(`pods/web:${port}/proxy/`), '200 GET /  no credentials');
  assert.equal(await text('pods/http:web:web/proxy/x', 'POST', 'body'), '200 POST /x body no credentials');
  assert.equal(await text('pods/web/proxy/missing'), '404 GET /missing  no credentials');
  assert.equal(await text('services/svc:80/proxy/s'), '200 GET /s  no credentials');
  assert.equal(await text('services/svc:http/proxy/s'), '200 GET /s  no credentials');
  assert.match(await text('services/svc:81/proxy/'), /^400 .*has no port/);
  assert.match(await text('pods/web:1/proxy/'), /^503 .*error trying to reach service/);
  assert.match(await text('pods/none/proxy/'), /^404 /);
  assert.match(await text('pods/ftp:web:1/proxy/'), /^400 /);
});

test('what listens on loopback is not reached through a pod, and readers reach nothing', async () => {
  await makePod('sly', '127.0.0.1');
  assert.equal((await call('GET', `${namespace}/pods/sly/proxy/`)).status, 400);
  await using viewer = clientFor(api.viewerKubeconfigPath);
  await assert.rejects(viewer.text(`${namespace}/pods/sly/proxy/`), { code: 'PERMISSION_DENIED' });
});

test('a client that speaks protobuf alone creates, gets, lists, watches and is refused in protobuf', async () => {
  const headers = { 'content-type': protobufType, accept: protobufType };
  const map = {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name: 'pb' },
    data: { a: 'ü' },
    binaryData: { b: 'AAE=' },
  };
  const path = `${namespace}/configmaps`;
  const made = await call('POST', path, headers, encodeObject(map));
  assert.equal(made.status, 201);
  assert.equal(made.headers['content-type'], protobufType);
  const got = decodeObject((await call('GET', `${path}/pb`, headers)).bytes, 'ConfigMap');
  assert.deepEqual([got.data, got.binaryData], [map.data, map.binaryData]);
  assert.deepEqual((await admin.get<typeof map>(`${path}/pb`)).data, map.data);
  const list = decodeObject((await call('GET', path, headers)).bytes, 'ConfigMapList');
  assert.ok((list.items as (typeof map)[]).some(({ metadata }) => metadata.name === 'pb'));
  const again = await call('POST', path, headers, encodeObject(map));
  assert.equal(decodeObject(again.bytes, 'Status').reason, 'AlreadyExists');
  const watched = await call(
    'GET',
    `${path}?watch=true&timeoutSeconds=1&fieldSelector=metadata.name%3Dpb`,
    headers,
  );
  assert.equal(watched.headers['content-type'], `${protobufType};stream=watch`);
  assert.equal(watched.bytes.readUInt32BE(), watched.bytes.length - 4);
  assert.ok(watched.bytes.includes('ADDED') && watched.bytes.includes('k8s\0'));
  const both = await call('GET', `${path}/pb`, { accept: `${protobufType}, application/json` });
  assert.equal(both.headers['content-type'], 'application/json', 'who takes JSON gets JSON');
  assert.equal((await call('POST', path, headers, 'k8s\0garbage')).status, 400);
  const secret = encodeObject({ ...map, kind: 'Secret' }, 'Secret');
  const wrong = decodeObject((await call('POST', path, headers, secret)).bytes, 'Status');
  assert.match(String(wrong.message), /kind in the data \(Secret\) does not match/);
  const table = await call('GET', path, { accept: `${protobufType};as=Table;g=meta.k8s.io;v=v1` });
  assert.equal(table.status, 406);
});
