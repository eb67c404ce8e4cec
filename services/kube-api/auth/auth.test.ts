import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { request as httpsRequest } from 'node:https';
import { after, before, test } from 'node:test';
import { Agent, request } from 'undici';
import { type ApiClient, openApi } from '#contracts/kubernetes/client/client.ts';
import { type Connection, loadKubeconfig } from '#contracts/kubernetes/client/kubeconfig.ts';
import { openAuthority } from '../pki/authority.ts';
import { clientFor, registerNode } from '../testing/node.ts';
import { startTestApi, type TestApi } from '../testing/start.ts';

let api: TestApi;
let admin: ApiClient;
let node: ApiClient;
let viewer: ApiClient;
let connection: Connection;
const pod = (name: string, extra: object = {}, metadata: object = {}) => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name, ...metadata },
  spec: { schedulerName: 'nobody', containers: [{ name: 'c', image: 'x:1' }], ...extra },
});
const pods = '/api/v1/namespaces/default/pods';

before(async () => {
  api = await startTestApi();
  connection = loadKubeconfig(api.adminKubeconfigPath);
  admin = openApi(connection);
  node = clientFor(api.nodeKubeconfigPath);
  viewer = clientFor(api.viewerKubeconfigPath);
  await registerNode(node, 'n1', false);
  const env = [{ name: 'A', valueFrom: { secretKeyRef: { name: 'used', key: 'k' } } }];
  await admin.create(pods, pod('mine', { nodeName: 'n1', containers: [{ name: 'c', image: 'x:1', env }] }));
  await admin.create(pods, pod('foreign', { nodeName: 'n2' }));
  for (const name of ['used', 'unused']) {
    await admin.create('/api/v1/namespaces/default/secrets', { metadata: { name }, stringData: { k: 'v' } });
    await admin.create('/api/v1/namespaces/default/configmaps', { metadata: { name } });
  }
});
after(async () => {
  await Promise.all([admin.close(), node.close(), viewer.close()]);
  await api.end();
});

/** The status of a call as somebody. */
async function statusOf(call: Promise<unknown>): Promise<number> {
  return call.then(
    () => 200,
    (error: { status?: number }) => error.status ?? 0,
  );
}

async function raw(
  path: string,
  options: {
    connection?: Partial<Connection>;
    headers?: Record<string, string>;
    method?: string;
    body?: string;
  } = {},
): Promise<number> {
  const { ca, cert, key } = { ca: connection.ca, ...options.connection };
  const agent = new Agent({ connect: { ca, cert, key } });
  try {
    const method = (options.method ?? 'GET') as 'GET';
    const answer = await request(connection.server + path, {
      dispatcher: agent,
      method,
      headers: options.headers,
      body: options.body,
    });
    await answer.body.dump();
    return answer.statusCode;
  } finally {
    await agent.close();
  }
}

/** The status of a GET whose path is sent as it is: other clients resolve `..` themselves. */
async function unchanged(path: string): Promise<number> {
  const { hostname, port } = new URL(connection.server);
  const { ca, cert, key } = connection;
  return new Promise((resolve, reject) => {
    const call = httpsRequest({ hostname, port, path, ca, cert, key, agent: false }, (answer) => {
      answer.resume();
      resolve(answer.statusCode ?? 0);
    });
    call.on('error', reject).end();
  });
}

test('keys and kubeconfigs are for their owner only', () => {
  for (const path of [
    api.adminKubeconfigPath,
    api.nodeKubeconfigPath,
    `${api.directory}/pki/ca.key`,
    `${api.directory}/pki/service-accounts.key`,
  ])
    assert.equal(statSync(path).mode & 0o777, 0o600, path);
});

test('nobody gets in without a certificate or token of ours', async () => {
  assert.equal(await raw('/api/v1/pods'), 401);
  assert.equal(await raw('/healthz'), 200);
  assert.equal(await raw('/api/v1/pods', { headers: { authorization: 'Bearer nonsense' } }), 401);
  assert.equal(await raw('/api/v1/pods', { headers: { authorization: 'Bearer a.b.c' } }), 401);
  assert.equal(await raw('/api/v1/pods', { headers: { authorization: 'Basic YTpi' } }), 401);
  const folder = mkdtempSync('/tmp/skiff-');
  try {
    const stranger = await openAuthority(folder, Date.now);
    const pair = await stranger.ensure('admin', {
      commonName: 'kubernetes-admin',
      organizations: ['system:masters'],
    });
    assert.equal(await raw('/api/v1/pods', { connection: pair }), 401);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test('a token of a service account is valid until the account is gone, and may nothing but ask', async () => {
  const { status } = await admin
    .create<{ status: { token: string } }>('/api/v1/namespaces/default/serviceaccounts', {
      metadata: { name: 'bob' },
    })
    .then(() =>
      admin.create<{ status: { token: string } }>('/api/v1/namespaces/default/serviceaccounts/bob/token', {
        spec: {},
      }),
    );
  const headers = { authorization: `Bearer ${status.token}` };
  assert.equal(await raw('/api', { headers }), 200);
  assert.equal(await raw('/api/v1/pods', { headers }), 403);
  const [head, body = ''] = status.token.split('.');
  const claims = JSON.parse(Buffer.from(body, 'base64url').toString());
  const forged = Buffer.from(
    JSON.stringify({ ...claims, sub: 'system:serviceaccount:kube-system:root' }),
  ).toString('base64url');
  assert.equal(
    await raw('/api', {
      headers: { authorization: `Bearer ${head}.${forged}.${status.token.split('.')[2]}` },
    }),
    401,
  );
  const none = Buffer.from('{"alg":"none"}').toString('base64url');
  assert.equal(await raw('/api', { headers: { authorization: `Bearer ${none}.${body}.` } }), 401);
  await admin.delete('/api/v1/namespaces/default/serviceaccounts/bob');
  assert.equal(await raw('/api', { headers }), 401);
});

test('a node does its work and nothing else', async () => {
  const own = `${pods}/mine`;
  const lease = (name: string) => ({ metadata: { name }, spec: { holderIdentity: name } });
  const leases = '/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases';
  const mirror = { annotations: { 'kubernetes.io/config.mirror': 'x' } };
  const table: [what: string, expected: number, call: () => Promise<unknown>][] = [
    ['lists its pods', 200, () => node.get('/api/v1/pods?fieldSelector=spec.nodeName%3Dn1')],
    ['lists all pods', 403, () => node.get('/api/v1/pods')],
    ['lists the pods of another', 403, () => node.get('/api/v1/pods?fieldSelector=spec.nodeName%3Dn2')],
    ['gets its pod', 200, () => node.get(own)],
    ['gets the pod of another', 403, () => node.get(`${pods}/foreign`)],
    [
      'sets the status of its pod',
      200,
      () => node.patch(`${own}/status`, 'strategic-merge-patch', { status: { message: 'x' } }),
    ],
    [
      'sets the status of another',
      403,
      () => node.patch(`${pods}/foreign/status`, 'strategic-merge-patch', { status: { message: 'x' } }),
    ],
    [
      'changes the spec of its pod',
      403,
      () => node.patch(own, 'merge-patch', { metadata: { labels: { a: 'b' } } }),
    ],
    ['deletes the pod of another', 403, () => node.delete(`${pods}/foreign`)],
    ['makes a mirror pod', 200, () => node.create(pods, pod('mirror', { nodeName: 'n1' }, mirror))],
    ['makes an ordinary pod', 403, () => node.create(pods, pod('plain', { nodeName: 'n1' }))],
    ['makes a mirror pod elsewhere', 403, () => node.create(pods, pod('else', { nodeName: 'n2' }, mirror))],
    ['gets itself', 200, () => node.get('/api/v1/nodes/n1')],
    ['gets another node', 403, () => node.get('/api/v1/nodes/n2')],
    ['lists all nodes', 403, () => node.get('/api/v1/nodes')],
    ['watches itself', 200, () => node.get('/api/v1/nodes?fieldSelector=metadata.name%3Dn1')],
    ['makes another node', 403, () => node.create('/api/v1/nodes', { metadata: { name: 'n9' } })],
    ['deletes itself', 403, () => node.delete('/api/v1/nodes/n1')],
    ['makes its lease', 200, () => node.create(leases, lease('n1'))],
    ['makes a lease of another', 403, () => node.create(leases, lease('n2'))],
    ['reads a secret that its pod uses', 200, () => node.get('/api/v1/namespaces/default/secrets/used')],
    ['reads another secret', 403, () => node.get('/api/v1/namespaces/default/secrets/unused')],
    ['lists secrets', 403, () => node.get('/api/v1/namespaces/default/secrets')],
    [
      'watches one secret',
      200,
      () => node.get('/api/v1/namespaces/default/secrets?fieldSelector=metadata.name%3Dused'),
    ],
    ['reads a configmap no pod uses', 403, () => node.get('/api/v1/namespaces/default/configmaps/unused')],
    ['changes a secret', 403, () => node.patch('/api/v1/namespaces/default/secrets/used', 'merge-patch', {})],
    ['lists services', 200, () => node.get('/api/v1/services')],
    [
      'writes an event',
      200,
      () =>
        node.create('/api/v1/namespaces/default/events', {
          metadata: { name: 'e' },
          involvedObject: { kind: 'Pod', name: 'mine', namespace: 'default' },
        }),
    ],
    [
      'asks for a token bound to its pod',
      200,
      () =>
        node.create('/api/v1/namespaces/default/serviceaccounts/default/token', {
          spec: { boundObjectRef: { kind: 'Pod', apiVersion: 'v1', name: 'mine' } },
        }),
    ],
    [
      'asks for a token bound to another pod',
      403,
      () =>
        node.create('/api/v1/namespaces/default/serviceaccounts/default/token', {
          spec: { boundObjectRef: { kind: 'Pod', apiVersion: 'v1', name: 'foreign' } },
        }),
    ],
    [
      'asks for a token bound to nothing',
      403,
      () => node.create('/api/v1/namespaces/default/serviceaccounts/default/token', { spec: {} }),
    ],
    [
      'reviews a token',
      200,
      () => node.create('/apis/authentication.k8s.io/v1/tokenreviews', { spec: { token: 'x' } }),
    ],
    ['makes a namespace', 403, () => node.create('/api/v1/namespaces', { metadata: { name: 'x' } })],
    [
      'approves a certificate',
      403,
      () => node.update('/apis/certificates.k8s.io/v1/certificatesigningrequests/x/approval', {}),
    ],
  ];
  for (const [what, expected, call] of table)
    assert.equal(await statusOf(call()), expected, `the node ${what}`);
});

test('a viewer sees everything but secrets and changes nothing', async () => {
  assert.equal(await statusOf(viewer.get('/api/v1/pods')), 200);
  assert.equal(await statusOf(viewer.get(`${pods}/mine/status`)), 200);
  assert.equal(await statusOf(viewer.get('/api/v1/secrets')), 403);
  assert.equal(await statusOf(viewer.create(pods, pod('x'))), 403);
  assert.equal(await statusOf(viewer.delete(`${pods}/mine`)), 403);
  assert.equal(
    await raw('/api/v1/pods', {
      connection: loadKubeconfig(api.viewerKubeconfigPath),
      headers: { 'impersonate-user': 'admin' },
    }),
    403,
  );
});

test('a node gets the certificate that it asks for itself', async () => {
  await import('reflect-metadata');
  const x509 = await import('@peculiar/x509');
  const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };
  const keys = (await crypto.subtle.generateKey(algorithm, true, ['sign', 'verify'])) as never;
  const asked = await x509.Pkcs10CertificateRequestGenerator.create({
    name: 'O=system:nodes, CN=system:node:n1',
    keys,
    signingAlgorithm: algorithm,
  });
  const spec = {
    request: Buffer.from(asked.toString('pem')).toString('base64'),
    signerName: 'kubernetes.io/kube-apiserver-client-kubelet',
    usages: ['digital signature', 'client auth'],
  };
  const path = '/apis/certificates.k8s.io/v1/certificatesigningrequests';
  await node.create(path, { metadata: { name: 'node-csr-1' }, spec });
  for (let tries = 0; ; tries += 1) {
    const { status } = await node.get<{ status?: { certificate?: string } }>(`${path}/node-csr-1`);
    if (status?.certificate !== undefined) {
      assert.match(Buffer.from(status.certificate, 'base64').toString(), /BEGIN CERTIFICATE/);
      break;
    }
    assert.ok(tries < 100, 'the request was not signed');
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
});

test('hostile calls get an answer and the API goes on', async () => {
  const { cert, key } = connection;
  const own = { cert, key };
  for (const path of [
    '/api/v1/namespaces/default/%2e%2e/%2e%2e/pods',
    '/api/v1/../../etc/passwd',
    '/api/v1/namespaces/a%2Fb/pods',
    '/api/v1/namespaces/%ff/pods',
    '/api/v1//pods',
    '/api/v1/namespaces/a%00b/pods',
  ])
    assert.equal(await unchanged(path), 400, path);
  assert.equal(await raw(`/api/v1/pods?labelSelector=${'a'.repeat(30_000)}`, { connection: own }), 400);
  const big = JSON.stringify({ metadata: { name: 'big' }, data: { a: 'x'.repeat(10 * 1024 * 1024) } });
  const post = {
    connection: own,
    method: 'POST',
    body: big,
    headers: { 'content-type': 'application/json' },
  };
  assert.equal(await raw('/api/v1/namespaces/default/configmaps', post), 413);
  const deep = `{"metadata":{"name":"x"},"data":${'{"a":'.repeat(50_000)}1${'}'.repeat(50_000)}}`;
  assert.equal(await raw('/api/v1/namespaces/default/configmaps', { ...post, body: deep }), 400);
  assert.equal(await raw('/healthz'), 200);
  assert.ok(readFileSync(api.adminKubeconfigPath, 'utf8').includes('certificate-authority-data'));
});
