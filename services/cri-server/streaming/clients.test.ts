/**
 * Clients that are not ours: kubectl (SPDY and WebSocket) and @kubernetes/client-node (WebSocket), against a small
 * API server that passes on to the streaming server as the kubelet does.
 */
import assert from 'node:assert/strict';
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { type AddressInfo, connect, createServer as createTcpServer } from 'node:net';
import { PassThrough, Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { type TestContext, test } from 'node:test';
import { create } from '@bufbuild/protobuf';
import { Attach, Exec, KubeConfig, PortForward, type V1Status } from '@kubernetes/client-node';
import {
  AttachRequestSchema,
  ExecRequestSchema,
  PortForwardRequestSchema,
} from '#contracts/cri/runtime_pb.ts';
import { proxyUpgrade } from '#foundation/stream/proxy.ts';
import type { StreamingServer } from './index.ts';
import { collector, fakeRuntime, mib, startServer } from './streaming-fixture.test.ts';

const hasKubectl = (() => {
  try {
    execFileSync('kubectl', ['version', '--client'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
})();

const pod = {
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name: 'web', namespace: 'default', uid: 'u' },
  spec: { containers: [{ name: 'c', image: 'i', stdin: true }] },
  status: { phase: 'Running', containerStatuses: [{ name: 'c', ready: true, state: { running: {} } }] },
};

const pages: Record<string, object> = {
  '/api': { kind: 'APIVersions', versions: ['v1'] },
  '/apis': { kind: 'APIGroupList', apiVersion: 'v1', groups: [] },
  '/api/v1': {
    kind: 'APIResourceList',
    groupVersion: 'v1',
    resources: [
      {
        name: 'pods',
        singularName: 'pod',
        namespaced: true,
        kind: 'Pod',
        verbs: ['get', 'list'],
        shortNames: ['po'],
      },
    ],
  },
  '/api/v1/namespaces/default/pods/web': pod,
};

/** A Kubernetes API with one pod. @returns its URL and the kubeconfig's path. */
async function startApi(t: TestContext, streaming: StreamingServer) {
  const server = createServer((request, response) => {
    const page = pages[(request.url ?? '').replace(/\?.*/, '')];
    response.writeHead(page ? 200 : 404, { 'Content-Type': 'application/json' });
    response.end(JSON.stringify(page ?? { kind: 'Status', apiVersion: 'v1', status: 'Failure', code: 404 }));
  });
  const connections = new Set<import('node:net').Socket>();
  server.on('connection', (socket) => connections.add(socket));
  server.on('upgrade', (request, socket, head) => {
    const url = new URL(request.url ?? '/', 'http://x');
    const flag = (name: string) => url.searchParams.get(name) === 'true';
    const streams = {
      stdin: flag('stdin'),
      stdout: flag('stdout'),
      stderr: flag('stderr'),
      tty: flag('tty'),
    };
    const verb = url.pathname.split('/').at(-1);
    if (verb === 'portforward') {
      const port = url.searchParams.getAll('ports').map(Number);
      const target = streaming.getPortForwardUrl(
        create(PortForwardRequestSchema, { podSandboxId: 's', port }),
      );
      return void proxyUpgrade(request, socket, head, { target, portForward: true });
    }
    const common = { containerId: 'c', ...streams, stderr: streams.stderr && !streams.tty };
    const target =
      verb === 'attach'
        ? streaming.getAttachUrl(create(AttachRequestSchema, common))
        : streaming.getExecUrl(
            create(ExecRequestSchema, { ...common, cmd: url.searchParams.getAll('command') }),
          );
    void proxyUpgrade(request, socket, head, { target, remoteCommand: streams });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const directory = mkdtempSync('/tmp/skiff-kubectl-');
  const kubeconfig = `${directory}/config`;
  writeFileSync(
    kubeconfig,
    JSON.stringify({
      apiVersion: 'v1',
      kind: 'Config',
      clusters: [{ name: 'x', cluster: { server: url } }],
      contexts: [{ name: 'x', context: { cluster: 'x', user: 'x' } }],
      users: [{ name: 'x', user: {} }],
      'current-context': 'x',
    }),
  );
  t.after(() => {
    server.close();
    for (const socket of connections) socket.destroy();
    rmSync(directory, { recursive: true });
  });
  return { url, kubeconfig, directory };
}

async function setUp(t: TestContext) {
  const fake = fakeRuntime(t);
  const streaming = await startServer(t, fake.runtime);
  return { ...fake, ...(await startApi(t, streaming)) };
}

interface Finished {
  code: number | null;
  stdout: Buffer;
  stderr: string;
}

function startKubectl(
  t: TestContext,
  api: { kubeconfig: string; directory: string },
  webSocket: boolean,
  args: string[],
) {
  const flag = String(webSocket);
  const env = {
    PATH: process.env.PATH,
    HOME: api.directory,
    KUBECONFIG: api.kubeconfig,
    KUBECTL_REMOTE_COMMAND_WEBSOCKETS: flag,
    KUBECTL_PORT_FORWARD_WEBSOCKETS: flag,
  };
  const child = spawn('kubectl', args, { env, stdio: 'pipe' });
  child.stdin.on('error', () => {});
  t.after(() => child.kill('SIGKILL'));
  return child;
}

async function finish(child: ChildProcess): Promise<Finished> {
  const ended = once(child, 'close') as Promise<[number | null]>;
  const { stdout, stderr } = child;
  assert.ok(stdout && stderr);
  const [out, err, [code]] = await Promise.all([buffer(stdout), buffer(stderr), ended]);
  return { code, stdout: out, stderr: err.toString() };
}

for (const webSocket of [false, true]) {
  const over = webSocket ? 'WebSocket v5' : 'SPDY v4';

  test(`kubectl exec over ${over}: 100 MiB through stdin and back, exit codes, errors`, {
    skip: !hasKubectl,
  }, async (t) => {
    const api = await setUp(t);
    const body = randomBytes(100 * mib);
    const cat = startKubectl(t, api, webSocket, ['exec', '-i', 'web', '--', 'cat']);
    Readable.from([body]).pipe(cat.stdin);
    const copied = await finish(cat);
    assert.equal(copied.code, 0, copied.stderr);
    const hash = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex');
    assert.equal(hash(copied.stdout), hash(body));
    const script = 'echo out; echo err >&2; exit 3';
    const failing = await finish(startKubectl(t, api, webSocket, ['exec', 'web', '--', 'sh', '-c', script]));
    assert.equal(failing.code, 3, failing.stderr);
    assert.equal(failing.stdout.toString(), 'out\n');
    assert.match(failing.stderr, /^err\n/);
    const absent = await finish(startKubectl(t, api, webSocket, ['exec', 'web', '--', 'fail']));
    assert.equal(absent.code, 1);
    assert.match(absent.stderr, /no such program/);
  });

  test(`kubectl attach over ${over} couples standard input`, { skip: !hasKubectl }, async (t) => {
    const api = await setUp(t);
    const child = startKubectl(t, api, webSocket, ['attach', '-i', 'web']);
    child.stdin.end('typed\n');
    const { stdout, code, stderr } = await finish(child);
    assert.equal(stdout.toString(), 'typed\n', stderr);
    assert.equal(code, 0);
  });

  test(`kubectl port-forward over ${over} carries connections`, { skip: !hasKubectl }, async (t) => {
    const api = await setUp(t);
    const echo = createTcpServer({ allowHalfOpen: true }, (socket) => socket.pipe(socket)).listen(
      0,
      '127.0.0.1',
    );
    await once(echo, 'listening');
    t.after(() => echo.close());
    const port = (echo.address() as AddressInfo).port;
    const child = startKubectl(t, api, webSocket, [
      'port-forward',
      'pod/web',
      `:${port}`,
      '--address',
      '127.0.0.1',
    ]);
    let said = '';
    child.stderr.on('data', (chunk) => {
      said += chunk;
    });
    const local = await new Promise<number>((resolve, reject) => {
      child.stdout.on('data', (chunk: Buffer) => {
        const found = /127\.0\.0\.1:(\d+)/.exec(chunk.toString());
        if (found) resolve(Number(found[1]));
      });
      child.once('close', () => reject(new Error(said)));
    });
    for (let round = 0; round < 5; round += 1) {
      const socket = connect({ port: local, host: '127.0.0.1', allowHalfOpen: true });
      const body = randomBytes(3 * mib);
      socket.end(body);
      assert.ok((await buffer(socket)).equals(body), said);
    }
  });
}

function clientConfig(url: string): KubeConfig {
  const config = new KubeConfig();
  config.loadFromClusterAndUser({ name: 'x', server: url, skipTLSVerify: true }, { name: 'x' });
  return config;
}

test('client-node: exec with its status and half-close, attach, port-forward', async (t) => {
  const { url } = await setUp(t);
  const config = clientConfig(url);
  const stdout = collector();
  const ended = Promise.withResolvers<V1Status>();
  const stdin = Readable.from([Buffer.from('from client-node')]);
  const command = ['sh', '-c', 'head -c 16; exit 5'];
  await new Exec(config).exec(
    'default',
    'web',
    'c',
    command,
    stdout.stream,
    collector().stream,
    stdin,
    false,
    ended.resolve,
  );
  const status = await ended.promise;
  assert.equal(status.reason, 'NonZeroExitCode');
  assert.equal(status.details?.causes?.[0]?.message, '5');
  assert.equal(stdout.text(), 'from client-node');

  const attached = collector();
  const typed = new PassThrough();
  const socket = await new Attach(config).attach(
    'default',
    'web',
    'c',
    attached.stream,
    collector().stream,
    typed,
    false,
  );
  typed.write('hello');
  while (attached.text() !== 'hello') await new Promise((resolve) => setTimeout(resolve, 10));
  (socket as { close(): void }).close();

  const echo = createTcpServer((peer) => peer.pipe(peer)).listen(0, '127.0.0.1');
  await once(echo, 'listening');
  t.after(() => echo.close());
  const forwarded = collector();
  const input = new PassThrough();
  const port = (echo.address() as AddressInfo).port;
  const forward = await new PortForward(config).portForward(
    'default',
    'web',
    [port],
    forwarded.stream,
    null,
    input,
  );
  input.write('through');
  while (forwarded.text() !== 'through') await new Promise((resolve) => setTimeout(resolve, 10));
  (forward as { close(): void }).close();
});

test('a target that refuses or is not there is answered as an HTTP error', async (t) => {
  const { runtime } = fakeRuntime(t);
  const streaming = await startServer(t, runtime);
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => server.close());
  const used = streaming.getExecUrl(
    create(ExecRequestSchema, { containerId: 'c', cmd: ['true'], stdout: true }),
  );
  const targets = [used.replace(/.{8}$/, 'unknown1'), 'http://127.0.0.1:1/exec/x'];
  server.on('upgrade', (request, socket, head) => {
    const target = targets[Number(new URL(request.url ?? '', 'http://x').searchParams.get('n'))] ?? '';
    const remoteCommand = { stdin: false, stdout: true, stderr: false, tty: false };
    void proxyUpgrade(request, socket, head, { target, remoteCommand });
  });
  const { port } = server.address() as AddressInfo;
  const { connectRemoteCommand } = await import('#foundation/stream/remote-command/client.ts');
  for (const transport of ['spdy', 'websocket'] as const) {
    for (const [n, status] of [404, 502].entries()) {
      const connecting = connectRemoteCommand(`http://127.0.0.1:${port}/?n=${n}`, {
        transport,
        tty: false,
        stdout: collector().stream,
      });
      await assert.rejects(connecting, new RegExp(`HTTP ${status}`));
    }
  }
});
