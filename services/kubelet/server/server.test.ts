import 'reflect-metadata';
import assert from 'node:assert/strict';
import { webcrypto } from 'node:crypto';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import { afterEach, test } from 'node:test';
import { type ConnectionOptions, connect } from 'node:tls';
import { BasicConstraintsExtension, PemConverter, X509CertificateGenerator } from '@peculiar/x509';
import type { Pod } from '#contracts/kubernetes/types.ts';
import { SkiffError } from '#foundation/base/errors.ts';
import { createLogger, silentLogger } from '#foundation/base/log.ts';
import { createRegistry } from '#foundation/base/metrics.ts';
import { systemClock } from '#foundation/base/time.ts';
import { type KubeletConfiguration, withDefaults } from '../configuration/defaults.ts';
import type { KubeletApi, KubeletView, RestRequest } from '../ports.ts';
import { accessAttributes } from './auth/attributes.ts';
import { selfSigned } from './certificate.ts';
import { findRoute } from './router.ts';
import { createKubeletServer, type KubeletServer, type ServerDeps } from './server.ts';

const cleanups: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

const pod: Pod = {
  metadata: { name: 'web', namespace: 'ns', uid: 'u1' },
  spec: { containers: [{ name: 'c', image: 'i' }] },
};

interface Setup {
  root: string;
  server: KubeletServer;
  asked: RestRequest[];
}

async function setup(
  changes: Partial<KubeletConfiguration> = {},
  review: (request: RestRequest) => unknown = () => ({ status: {} }),
  more: Partial<ServerDeps> = {},
): Promise<Setup> {
  const root = mkdtempSync('/tmp/skiff-srv-');
  cleanups.push(() => rmSync(root, { recursive: true, force: true }));
  mkdirSync(`${root}/log`);
  writeFileSync(`${root}/log/syslog`, 'line\n');
  symlinkSync('/etc/hostname', `${root}/log/out`);
  writeFileSync(`${root}/0.log`, '2026-01-01T00:00:00Z stdout F hello\n');
  const asked: RestRequest[] = [];
  const view = {
    pods: () => [pod],
    runningPods: () => [],
    find: (namespace: string, name: string) => (namespace === 'ns' && name === 'web' ? pod : undefined),
    containerId: async (_pod: Pod, container: string) => {
      if (container !== 'c')
        throw new SkiffError('NOT_FOUND', `container ${container} is not valid for pod web`);
      return { id: 'cid', logPath: `${root}/0.log`, running: true };
    },
    health: { syncLoopAge: () => 0 },
    metrics: createRegistry(),
  } as unknown as KubeletView;
  const api = {
    request: async (request: RestRequest) => {
      asked.push(request);
      return review(request);
    },
  } as unknown as KubeletApi;
  const server = createKubeletServer({
    configuration: { ...withDefaults({}, true), address: '127.0.0.1', port: 0, healthzPort: 0, ...changes },
    kubeletRoot: root,
    hostname: 'node-a',
    logRoot: `${root}/log`,
    socket: `${root}/k.sock`,
    view,
    node: { name: 'node-a', ips: () => ['127.0.0.1'] },
    cri: {
      execSync: async (request: { cmd: string[] }) => ({
        exitCode: request.cmd[0] === 'false' ? 1 : 0,
        stdout: Buffer.from(request.cmd.join(' ')),
        stderr: Buffer.alloc(0),
      }),
    } as never,
    statRoutes: [],
    api,
    clock: systemClock,
    log: silentLogger,
    ...more,
  });
  await server.start();
  cleanups.push(() => server.stop());
  return { root, server, asked };
}

interface Answer {
  status: number;
  body: string;
}

function send(options: https.RequestOptions, sent?: string): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const client = options.socketPath === undefined && options.protocol !== 'http:' ? https : http;
    const request = client.request({ agent: false, rejectUnauthorized: false, ...options }, (response) => {
      let body = '';
      response.setEncoding('utf8').on('data', (chunk) => {
        body += chunk;
      });
      response.on('end', () => resolve({ status: response.statusCode ?? 0, body }));
    });
    request.on('error', reject);
    request.end(sent);
  });
}

const overSocket = ({ root }: Setup, path: string, method = 'GET') =>
  send({ socketPath: `${root}/k.sock`, path, method });
const overTls = ({ server }: Setup, path: string, options: https.RequestOptions = {}) =>
  send({ host: '127.0.0.1', port: server.ports().get('secure'), path, ...options });

test('the unix socket serves this machine’s own tools, and nobody else', async () => {
  const served = await setup();
  assert.equal(statSync(`${served.root}/k.sock`).mode & 0o777, 0o600);
  const list = JSON.parse((await overSocket(served, '/pods')).body);
  assert.equal(list.kind, 'PodList');
  assert.equal(list.items[0].metadata.name, 'web');
  assert.equal((await overSocket(served, '/healthz')).body, 'ok');
  assert.equal((await overSocket(served, '/healthz/syncloop')).body, 'ok');
  assert.equal((await overSocket(served, '/healthz/none')).status, 404);
  assert.equal(JSON.parse((await overSocket(served, '/configz')).body).kubeletconfig.maxPods, 110);
});

test('logs, commands and the node’s files', async () => {
  const served = await setup();
  assert.equal((await overSocket(served, '/containerLogs/ns/web/c')).body, 'hello\n');
  assert.equal((await overSocket(served, '/containerLogs/ns/web/c?tailLines=x')).status, 400);
  assert.equal((await overSocket(served, '/containerLogs/ns/web/c?sinceTime=soon')).status, 400);
  assert.equal((await overSocket(served, '/containerLogs/ns/none/c')).status, 404);
  assert.match((await overSocket(served, '/containerLogs/ns/web/d')).body, /container d is not valid/);
  assert.deepEqual(await overSocket(served, '/run/ns/web/c?cmd=ls%20-l', 'POST'), {
    status: 200,
    body: 'ls -l',
  });
  assert.equal((await overSocket(served, '/run/ns/web/u1/c?cmd=false', 'POST')).status, 500);
  assert.equal((await overSocket(served, '/run/ns/web/c?cmd=ls')).status, 405);
  assert.equal((await overSocket(served, '/exec/ns/web/c?command=ls&output=1')).status, 400);
  assert.equal((await overSocket(served, '/logs/syslog')).body, 'line\n');
  assert.match((await overSocket(served, '/logs/')).body, /<a href="syslog">/);
  assert.equal((await overSocket(served, '/logs/out')).status, 403);
  assert.notEqual((await overSocket(served, '/logs/..%2f..%2fetc/passwd')).status, 200);
  assert.equal((await overSocket(served, '/logs/%zz')).status, 400);
  assert.equal((await overSocket(served, '/none')).status, 404);
  assert.match((await overSocket(served, '/logs/?query=syslog')).body, /<a href/, 'unless it is turned on');
});

test('pages for people: status, flags, profiles, verbosity', async () => {
  const log = createLogger('info', { write: () => {} });
  const served = await setup({}, undefined, { log });
  assert.match(
    (await overSocket(served, '/statusz')).body,
    /^Up: 00 hr 00 min 0\d sec$[\s\S]*^Paths:.* \/pods /m,
  );
  assert.match((await overSocket(served, '/flagz')).body, /^hostname-override=node-a$[\s\S]*^maxPods=110$/m);
  const { nodes } = JSON.parse((await overSocket(served, '/debug/pprof/profile?seconds=1')).body);
  assert.ok(nodes.length > 1);
  const both = ['/debug/pprof/heap?seconds=1', '/debug/pprof/profile?seconds=1'].map((path) =>
    overSocket(served, path),
  );
  assert.deepEqual((await Promise.all(both)).map(({ status }) => status).sort(), [200, 429]);
  assert.match((await overSocket(served, '/debug/pprof/cmdline')).body, /node/);
  assert.equal((await overSocket(served, '/debug/pprof/profile?seconds=9999')).status, 400);
  const put = (body: string) =>
    send({ socketPath: `${served.root}/k.sock`, path: '/debug/flags/v', method: 'PUT' }, body);
  assert.equal((await put('5')).status, 200);
  assert.equal(log.level, 'debug');
  assert.equal((await put('much')).status, 400);
  const closed = await setup({ enableProfilingHandler: false, enableDebugFlagsHandler: false });
  assert.equal((await overSocket(closed, '/debug/pprof/profile')).status, 404);
  assert.equal((await overSocket(closed, '/debug/flags/v', 'PUT')).status, 404);
});

test('curves and versions of TLS are those that were asked for', async () => {
  const served = await setup({ tlsMinVersion: 'VersionTLS13', tlsCurvePreferences: ['CurveP384', 29] });
  const port = served.server.ports().get('secure');
  const connects = (options: ConnectionOptions) =>
    new Promise<boolean>((resolve) => {
      const socket = connect({ host: '127.0.0.1', port, rejectUnauthorized: false, ...options });
      socket.once('secureConnect', () => resolve(true));
      socket.once('error', () => resolve(false));
      socket.once('secureConnect', () => socket.destroy());
    });
  assert.equal(await connects({ ecdhCurve: 'P-384' }), true);
  assert.equal(await connects({ ecdhCurve: 'X25519' }), true);
  assert.equal(await connects({ ecdhCurve: 'P-256' }), false);
  assert.equal(await connects({ maxVersion: 'TLSv1.2' }), false);
});

test('without credentials nothing is told over the network', async () => {
  const served = await setup();
  assert.equal((await overTls(served, '/pods')).status, 401);
  assert.equal(served.asked.length, 0);
});

test('a token is reviewed once, and what it may do is asked of the API server', async () => {
  const served = await setup({}, ({ path, body }) => {
    const { spec } = body as { spec: { token?: string; resourceAttributes?: { subresource: string } } };
    if (path.endsWith('tokenreviews'))
      return {
        status:
          spec.token === 'good' ? { authenticated: true, user: { username: 'eva', groups: ['g'] } } : {},
      };
    return { status: { allowed: spec.resourceAttributes?.subresource === 'pods' } };
  });
  const bearer = (token: string) => ({ headers: { authorization: `Bearer ${token}` } });
  assert.equal((await overTls(served, '/pods', bearer('good'))).status, 200);
  assert.equal((await overTls(served, '/pods', bearer('good'))).status, 200);
  assert.equal(served.asked.length, 2, 'one review of the token, one of the access');
  const refused = await overTls(served, '/run/ns/web/c?cmd=ls', { ...bearer('good'), method: 'POST' });
  assert.equal(refused.status, 403);
  assert.match(refused.body, /user=eva, verb=create, resource=nodes, subresource\(s\)=\[proxy\]/);
  assert.equal((await overTls(served, '/pods', bearer('bad'))).status, 401);
});

async function authority() {
  const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };
  const keys = await webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify']);
  const extensions = [new BasicConstraintsExtension(true)];
  const ca = await X509CertificateGenerator.createSelfSigned({
    name: 'CN=ca',
    keys,
    signingAlgorithm: algorithm,
    extensions,
  });
  const issue = async (name: string) => {
    const own = await webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify']);
    const certificate = await X509CertificateGenerator.create({
      subject: name,
      issuer: ca.subject,
      publicKey: own.publicKey,
      signingKey: keys.privateKey,
      signingAlgorithm: algorithm,
    });
    const key = PemConverter.encode(await webcrypto.subtle.exportKey('pkcs8', own.privateKey), 'PRIVATE KEY');
    return { cert: certificate.toString('pem'), key };
  };
  return { ca: ca.toString('pem'), issue };
}

test('a client certificate of the configured authority names the user and the groups', async () => {
  const { ca, issue } = await authority();
  const directory = mkdtempSync('/tmp/skiff-ca-');
  cleanups.push(() => rmSync(directory, { recursive: true }));
  writeFileSync(`${directory}/ca.crt`, ca);
  const { authentication } = withDefaults(
    { authentication: { x509: { clientCAFile: `${directory}/ca.crt` } } },
    true,
  );
  const users: unknown[] = [];
  const served = await setup({ authentication }, ({ body }) => {
    const { spec } = body as { spec: { user: string; groups: string[] } };
    users.push([spec.user, spec.groups]);
    return { status: { allowed: true } };
  });
  const client = await issue('CN=kube-apiserver, O=system:masters');
  assert.equal((await overTls(served, '/pods', client)).status, 200);
  assert.deepEqual(users[0], ['kube-apiserver', ['system:masters', 'system:authenticated']]);
  const stranger = await selfSigned('kube-apiserver', []);
  assert.equal(
    (await overTls(served, '/pods', stranger)).status,
    401,
    'a certificate of another authority is none',
  );
});

test('the server’s own certificate is kept, names the node, and its key is private', async () => {
  const served = await setup();
  const first = readFileSync(`${served.root}/pki/kubelet.crt`, 'utf8');
  assert.equal(statSync(`${served.root}/pki/kubelet.key`).mode & 0o777, 0o600);
  await overTls(served, '/healthz', {
    ca: first,
    rejectUnauthorized: true,
    servername: 'node-a',
    headers: {},
  });
  await served.server.stop();
  await served.server.start().catch(() => {});
  assert.equal(readFileSync(`${served.root}/pki/kubelet.crt`, 'utf8'), first);
});

test('turned-off debugging answers 405; the read-only port has no commands', async () => {
  const served = await setup({
    enableDebuggingHandlers: false,
    authorization: { ...withDefaults({}, false).authorization },
    authentication: withDefaults({}, false).authentication,
  });
  assert.equal((await overTls(served, '/run/ns/web/c?cmd=ls', { method: 'POST' })).status, 405);
  assert.equal((await overTls(served, '/pods')).status, 200);
});

test('an address that is taken is named, and what was opened is closed again', async () => {
  const taken = http.createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => taken.once('listening', resolve));
  const { port } = taken.address() as { port: number };
  cleanups.push(() => void taken.close());
  await assert.rejects(
    setup({ healthzPort: port }),
    new RegExp(`Cannot serve the kubelet's API on 127.0.0.1:${port}`),
  );
});

for (const [method, path, wanted] of [
  ['GET', '/pods', 'get pods,get proxy'],
  ['GET', '/runningpods/', 'get pods,get proxy'],
  ['GET', '/metrics/cadvisor', 'get metrics'],
  ['POST', '/stats/summary', 'create stats'],
  ['GET', '/logs/x', 'get log'],
  ['POST', '/exec/a/b/c', 'create proxy'],
  ['POST', '/checkpoint/a/b/c', 'create checkpoint'],
  ['GET', '/configz', 'get configz,get proxy'],
  ['GET', '/podsx', 'get proxy'],
  ['GET', '/metrics', 'get metrics'],
  ['GET', '/metrics/slis', 'get metrics'],
  ['GET', '/healthz/syncloop', 'get healthz,get proxy'],
  ['GET', '/statusz', 'get statusz'],
  ['GET', '/flagz', 'get configz'],
  ['GET', '/containerLogs/a/b/c', 'get proxy'],
  ['POST', '/run/a/b/c', 'create proxy'],
  ['GET', '/attach/a/b/c', 'get proxy'],
  ['POST', '/portForward/a/b', 'create proxy'],
  ['GET', '/debug/pprof/profile', 'get proxy'],
  ['PUT', '/debug/flags/v', 'update proxy'],
  ['PATCH', '/pods', 'patch pods,patch proxy'],
  ['DELETE', '/pods', 'delete pods,delete proxy'],
] as const)
  test(`access to ${method} ${path} is ${wanted}`, () =>
    assert.equal(
      accessAttributes(method, path)
        .map(({ verb, subresource }) => `${verb} ${subresource}`)
        .join(),
      wanted,
    ));

test('paths', () => {
  const routes = [{ methods: ['GET'], path: '/a/:x/:y', handle: async () => {} }];
  const match = findRoute(routes, 'GET', '/a/1%2F2/3/');
  assert.deepEqual(match !== undefined && match !== 'wrong method' ? match.params : {}, { x: '1/2', y: '3' });
  assert.equal(findRoute(routes, 'PUT', '/a/1/2'), 'wrong method');
  assert.equal(findRoute(routes, 'GET', '/a/1'), undefined);
  assert.equal(findRoute(routes, 'GET', '/a/%zz/2'), undefined);
});
