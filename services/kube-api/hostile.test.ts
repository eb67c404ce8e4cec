/** Clients that mean no good, and a disk without room: each gets its answer, and the others are served on. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import type { ClientRequest, IncomingMessage } from 'node:http';
import { request as httpsRequest, type RequestOptions } from 'node:https';
import { Socket } from 'node:net';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { connect, type TLSSocket } from 'node:tls';
import { type Connection, loadKubeconfig } from '#contracts/kubernetes/client/kubeconfig.ts';
import type { KubeList, KubeObject } from '#contracts/kubernetes/types.ts';
import { silentLogger } from '#foundation/base/log.ts';
import { sendText } from './http/respond.ts';
import { createApiServer, type Patience } from './http/server.ts';
import { createKubeApi } from './index.ts';
import { openAuthority } from './pki/authority.ts';
import { testApiConfig } from './testing/config.ts';
import { clientFor } from './testing/node.ts';
import { startTestApi, type TestApi } from './testing/start.ts';

const maps = '/api/v1/namespaces/default/configmaps';

let api: TestApi;
let admin: Connection;
before(async () => {
  api = await startTestApi();
  admin = loadKubeconfig(api.adminKubeconfigPath);
});
after(() => api.end());

function open(path: string, options: RequestOptions = {}, connection = admin): ClientRequest {
  const { hostname, port } = new URL(connection.server);
  const { ca, cert, key } = connection;
  return httpsRequest({ hostname, port, path, ca, cert, key, agent: false, ...options });
}

interface Answer {
  status: number;
  text: string;
}

/** The answer to a call; status 0 when the connection broke without one. */
function answerTo(call: ClientRequest): Promise<Answer> {
  return new Promise((resolve) => {
    call.on('response', (response) => {
      let text = '';
      response.on('data', (part: Buffer) => {
        text += part.toString();
      });
      response.on('close', () => resolve({ status: response.statusCode ?? 0, text }));
    });
    call.on('error', () => resolve({ status: 0, text: '' }));
  });
}

const json = { 'content-type': 'application/json' };

/** Sends `megabytes` of one body, as fast as they are taken. @returns the answer, and how much was sent. */
async function flood(megabytes: number, headers: Record<string, string>): Promise<Answer & { sent: number }> {
  const call = open(maps, { method: 'POST', headers: { ...json, ...headers } });
  const answer = answerTo(call);
  const part = Buffer.alloc(1024 * 1024, 0x20);
  let sent = 0;
  let over = false;
  void answer.then(() => {
    over = true;
  });
  while (sent < megabytes && !over && !call.destroyed) {
    const room = call.write(part);
    sent += 1;
    if (!room) await Promise.race([once(call, 'drain').catch(() => {}), answer]);
  }
  if (!over && !call.destroyed) call.end();
  return { ...(await answer), sent };
}

test('bodies of 10 and 100 MB are refused, announced or not, and never held in memory', async () => {
  const size = 100 * 1024 * 1024;
  const announced = await flood(100, { 'content-length': String(size) });
  assert.ok(announced.status === 413 || announced.status === 0, `status ${announced.status}`);
  const memory = process.memoryUsage().rss;
  for (const megabytes of [10, 100]) {
    const { status, sent } = await flood(megabytes, { 'transfer-encoding': 'chunked' });
    assert.ok(status === 413 || (status === 0 && sent > 32), `${megabytes} MB: ${status} after ${sent} MB`);
  }
  const grown = (process.memoryUsage().rss - memory) / 1024 / 1024;
  assert.ok(grown < 96, `the process grew by ${grown.toFixed(0)} MB`);
  assert.equal((await answerTo(open('/healthz').end())).status, 200);
});

const patches: [what: string, type: string, body: string, statuses: number[]][] = [
  ['no JSON', 'application/merge-patch+json', '{"data":', [400]],
  ['a list', 'application/merge-patch+json', '[]', [400]],
  ['a word', 'application/strategic-merge-patch+json', '"x"', [400]],
  ['null', 'application/merge-patch+json', 'null', [400]],
  ['a list where an object belongs', 'application/merge-patch+json', '{"metadata":[]}', [400, 422]],
  ['a number where a text belongs', 'application/merge-patch+json', '{"data":{"a":1}}', [400, 422]],
  ['an unknown directive', 'application/strategic-merge-patch+json', '{"data":{"$patch":"explode"}}', [400]],
  ['a JSON patch that is an object', 'application/json-patch+json', '{}', [400]],
  ['an operation that is none', 'application/json-patch+json', '[{"op":"jump","path":"/data"}]', [400, 422]],
  ['an operation without a path', 'application/json-patch+json', '[{"op":"add","value":1}]', [400, 422]],
  [
    'a path that is none',
    'application/json-patch+json',
    '[{"op":"add","path":"data","value":1}]',
    [400, 422],
  ],
  ['a path to nothing', 'application/json-patch+json', '[{"op":"remove","path":"/data/none"}]', [422]],
  ['a test that fails', 'application/json-patch+json', '[{"op":"test","path":"/data/a","value":"z"}]', [422]],
  [
    'a prototype',
    'application/json-patch+json',
    '[{"op":"add","path":"/__proto__/x","value":1}]',
    [400, 422],
  ],
  ['another kind', 'application/merge-patch+json', '{"kind":"Secret"}', [400]],
  ['another name', 'application/merge-patch+json', '{"metadata":{"name":"other"}}', [400, 422]],
  ['a type that is none', 'application/vnd.what+json', '{}', [415]],
  ['an apply that is no YAML', 'application/apply-patch+yaml', 'a: [', [400]],
  ['an apply of a YAML bomb', 'application/apply-patch+yaml', bomb(), [400]],
];

function bomb(): string {
  const lines = ['a0: &a0 [x,x,x,x,x,x,x,x,x]'];
  for (let level = 1; level < 12; level += 1)
    lines.push(`a${level}: &a${level} [${Array.from({ length: 9 }, () => `*a${level - 1}`).join(',')}]`);
  return lines.join('\n');
}

test('malformed patches are the client’s fault, and change nothing', async () => {
  await using client = clientFor(api.adminKubeconfigPath);
  const made = await client.create<KubeObject>(maps, { metadata: { name: 'p' }, data: { a: 'b' } });
  for (const [what, type, body, statuses] of patches) {
    const call = open(`${maps}/p?fieldManager=t`, { method: 'PATCH', headers: { 'content-type': type } });
    const { status, text } = await answerTo(call.end(body));
    assert.ok(statuses.includes(status), `${what}: ${status} ${text}`);
    const said = JSON.parse(text) as { kind: string; message: string };
    assert.equal(said.kind, 'Status', what);
    assert.ok(said.message.length > 10, `${what}: ${said.message}`);
  }
  assert.deepEqual(await client.get(`${maps}/p`), made);
  assert.equal(({} as { x?: unknown }).x, undefined);
});

/** An HTTPS server with little patience. */
async function impatient(work: (port: number) => Promise<void>): Promise<void> {
  const directory = mkdtempSync('/tmp/skiff-');
  const patience: Patience = { handshake: 4000, head: 4000, whole: 5000, look: 200 };
  const authority = await openAuthority(directory, Date.now);
  const pair = await authority.ensure('server', { commonName: 'server', names: ['127.0.0.1'] });
  const server = createApiServer({
    tls: { ca: authority.ca, ...pair },
    authenticate: () => ({ name: 'somebody', groups: [] }),
    authorizer: () => ({ allowed: true, reason: '' }),
    route: async ({ raw, response }) => {
      for await (const _ of raw);
      sendText(response, 200, 'text/plain', 'read');
    },
    upgrade: async () => {},
    logger: silentLogger,
    stopping: new AbortController().signal,
    patience,
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  try {
    await work((server.address() as { port: number }).port);
  } finally {
    server.closeAllConnections();
    server.close();
    rmSync(directory, { recursive: true });
  }
}

test('slow clients, fifty of each sort, are cut off and keep nobody else waiting', async () => {
  await impatient(async (port) => {
    const tls = () => connect({ port, host: '127.0.0.1', rejectUnauthorized: false });
    const cut = (socket: TLSSocket) =>
      new Promise<void>((resolve) => {
        socket.on('error', () => {});
        socket.on('close', () => resolve());
        socket.resume();
      });
    const head = 'GET /healthz HTTP/1.1\r\nhost: a\r\n';
    const body = 'POST /x HTTP/1.1\r\nhost: a\r\ncontent-length: 1000\r\n\r\n';
    const slow = Array.from({ length: 100 }, (_, index) => {
      const socket = tls();
      const ended = cut(socket);
      const start = index % 2 === 0 ? head : body;
      socket.write(start);
      const drip = setInterval(() => socket.writable && socket.write('x'), 100);
      void ended.then(() => clearInterval(drip));
      return ended;
    });
    // A connection that never says a word of TLS.
    const mute = new Socket();
    mute.on('error', () => {});
    const muted = new Promise<void>((resolve) => mute.once('close', () => resolve()));
    mute.connect(port, '127.0.0.1').resume();
    const url = { port, host: '127.0.0.1', path: '/healthz', rejectUnauthorized: false, agent: false };
    // On a machine so busy that this one is as slow as the others, it is cut off, too.
    let status = 0;
    for (let tries = 0; status !== 200 && tries < 10; tries += 1)
      status = (await answerTo(httpsRequest(url).end())).status;
    assert.equal(status, 200);
    await Promise.all([...slow, muted]);
  });
});

test('a watch that nobody reads is cut off, and the others see everything', async () => {
  await using client = clientFor(api.adminKubeconfigPath);
  const fieldSelector = 'metadata.name=large';
  await client.create(maps, { metadata: { name: 'large' }, data: { fill: 'x'.repeat(900_000) } });
  const watch = open(`${maps}?watch=true&${new URLSearchParams({ fieldSelector })}`);
  const opened = new Promise<IncomingMessage>((resolve) => watch.once('response', resolve));
  watch.on('error', () => {}).end();
  const unread = (await opened).on('error', () => {}).pause();
  const stop = new AbortController();
  let seen = 0;
  const reading = (async () => {
    for await (const _ of client.watch(maps, { fieldSelector }, stop.signal)) seen += 1;
  })();
  while (seen < 1) await sleep(10);
  // More than may wait, with what the kernel holds on both sides.
  const changes = 50;
  for (let index = 0; index < changes; index += 1)
    await client.patch(`${maps}/large`, 'merge-patch', { metadata: { labels: { n: String(index) } } });
  while (seen < 1 + changes) await sleep(10);
  stop.abort();
  await reading;
  let bytes = 0;
  unread.on('data', (part: Buffer) => {
    bytes += part.length;
  });
  // It ends by itself only because it was cut: watches last half an hour.
  const ended = new Promise<void>((resolve) => unread.once('close', () => resolve()));
  unread.resume();
  await ended;
  assert.ok(bytes < changes * 900_000, `${bytes} bytes came`);
});

test('twenty clients that race for one object: one wins each round, nothing is lost', async () => {
  const clients = Array.from({ length: 20 }, () => clientFor(api.adminKubeconfigPath));
  try {
    const [first] = clients;
    const won = (results: PromiseSettledResult<unknown>[]) =>
      results.filter(({ status }) => status === 'fulfilled').length;
    const conflicts = (results: PromiseSettledResult<unknown>[]) =>
      results.filter(
        (each) => each.status === 'rejected' && (each.reason as { status?: number }).status === 409,
      ).length;
    const creates = await Promise.allSettled(
      clients.map((client, index) =>
        client.create(maps, { metadata: { name: 'prize' }, data: { by: String(index) } }),
      ),
    );
    assert.deepEqual([won(creates), conflicts(creates)], [1, 19]);
    for (let round = 0; round < 5; round += 1) {
      const current = await first?.get<KubeObject & { data: Record<string, string> }>(`${maps}/prize`);
      const updates = await Promise.allSettled(
        clients.map((client, index) =>
          client.update(`${maps}/prize`, {
            ...current,
            data: { ...current?.data, [`r${round}`]: String(index) },
          }),
        ),
      );
      assert.deepEqual([won(updates), conflicts(updates)], [1, 19]);
    }
    const patched = await Promise.allSettled(
      clients.map((client, index) =>
        client.patch(`${maps}/prize`, 'merge-patch', { data: { [`p${index}`]: '1' } }),
      ),
    );
    assert.equal(won(patched), 20);
    const last = await first?.get<KubeObject & { data: Record<string, string> }>(`${maps}/prize`);
    assert.equal(Object.keys(last?.data ?? {}).length, 1 + 5 + 20);
    const deletes = await Promise.allSettled(clients.map((client) => client.delete(`${maps}/prize`)));
    assert.equal(won(deletes), 1);
  } finally {
    await Promise.all(clients.map((client) => client.close()));
  }
});

test('a full disk: 507 that says so, reading goes on, and writing when there is room', async () => {
  const folder = mkdtempSync('/tmp/skiff-');
  const disk = join(folder, 'disk');
  mkdirSync(disk);
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=3m', 'none', disk]);
  const small = createKubeApi({ ...testApiConfig(join(disk, 'api')), logger: silentLogger });
  try {
    await small.start();
    await using client = clientFor(small.adminKubeconfigPath);
    const before = (await client.get<KubeList<KubeObject>>(maps)).items.length;
    let made = 0;
    let refused: unknown;
    while (refused === undefined && made < 100) {
      const data = { fill: 'x'.repeat(200_000) };
      await client.create(maps, { metadata: { name: `n${made}` }, data }).then(
        () => (made += 1),
        (error: unknown) => {
          refused = error;
        },
      );
    }
    const { status, reason, message } = refused as { status: number; reason: string; message: string };
    assert.deepEqual([status, reason], [507, 'InsufficientStorage'], message);
    assert.match(message, /make room for \/tmp\/.*\/api/);
    assert.equal((await client.get<KubeList<KubeObject>>(maps)).items.length, before + made);
    execFileSync('mount', ['-o', 'remount,size=32m', disk]);
    await client.create(maps, { metadata: { name: 'after' } });
    await client.delete(`${maps}/n0`);
    assert.equal((await client.get<KubeList<KubeObject>>(maps)).items.length, before + made);
  } finally {
    await small.stop();
    execFileSync('umount', [disk]);
    rmSync(folder, { recursive: true });
  }
});
