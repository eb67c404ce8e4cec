import assert from 'node:assert/strict';
import { once } from 'node:events';
import http from 'node:http';
import net from 'node:net';
import { type TestContext, test } from 'node:test';
import { BodyError, get } from './http-get.ts';

/** A server that answers each connection with these bytes once it was asked; then it closes, or hangs. */
async function answering(t: TestContext, text: string, then: 'close' | 'hang' | 'reset'): Promise<URL> {
  const sockets = new Set<net.Socket>();
  const server = net.createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    socket.once('data', () => {
      socket.write(text, () => {
        if (then === 'close') socket.end();
        if (then === 'reset') socket.resetAndDestroy();
      });
    });
  });
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return new URL(`http://127.0.0.1:${await listening(server)}/`);
}

async function listening(server: net.Server, host = '127.0.0.1'): Promise<number> {
  server.listen(0, host);
  await once(server, 'listening');
  return (server.address() as net.AddressInfo).port;
}

test('the request is the original one: its headers once each, none of the connection, and closing', async (t) => {
  let seen = '';
  const server = net.createServer((socket) => {
    socket.on('data', (bytes) => {
      seen += bytes.toString();
      if (seen.endsWith('\r\n\r\n')) socket.end('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n');
    });
  });
  t.after(() => server.close());
  const port = await listening(server);
  const headers = {
    'User-Agent': ['kube-probe/1.36'],
    'X-Many': ['1', '2'],
    Connection: 'keep-alive',
    'Content-Length': '9',
  };
  await get(new URL(`http://user:p%40ss@127.0.0.1:${port}/a b?c=d#e`), headers);
  assert.equal(
    seen,
    `GET /a%20b?c=d HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nUser-Agent: kube-probe/1.36\r\nX-Many: 1\r\nX-Many: 2\r\n` +
      `Authorization: Basic ${Buffer.from('user:p@ss').toString('base64')}\r\nConnection: close\r\n\r\n`,
  );
  const broken: Record<string, string>[] = [{ 'X-A': 'b\r\nX-C: d' }, { 'X A': 'b' }, { '': 'b' }];
  for (const bad of broken)
    await assert.rejects(get(new URL(`http://127.0.0.1:${port}/`), bad), /invalid header field/);
});

test('an answer that ends with the connection, over IPv6 too', async (t) => {
  const url = await answering(t, 'HTTP/1.0 200 OK\r\n\r\nbody', 'close');
  assert.deepEqual(await get(url, {}), { status: 200, body: 'body', location: undefined });
  const server = http.createServer((_request, response) => response.end('six'));
  t.after(() => server.close());
  const port = await listening(server, '::1').catch(() => undefined);
  if (port !== undefined) assert.equal((await get(new URL(`http://[::1]:${port}/`), {})).body, 'six');
});

test('no answer is a failure of the server; one that breaks off is no verdict', async (t) => {
  const silent = await answering(t, '', 'hang');
  await assert.rejects(
    get(silent, {}, { timeoutMs: 50 }),
    (error) => !(error instanceof BodyError) && /while awaiting headers/.test(String(error)),
  );
  const half = 'HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nbody';
  const slow = await answering(t, half, 'hang');
  await assert.rejects(
    get(slow, {}, { timeoutMs: 1500 }),
    (error) => error instanceof BodyError && /while reading body/.test(error.message),
  );
  const short = await answering(t, half, 'close');
  await assert.rejects(get(short, {}), (error) => error instanceof BodyError);
  const gone = await answering(t, 'HTTP/1.1 200', 'close');
  await assert.rejects(get(gone, {}), /^Error: unexpected EOF/);
  const reset = await answering(t, 'SSH-2.0\r\n\r\n', 'reset');
  await assert.rejects(get(reset, {}), /malformed HTTP response|ECONNRESET/);
});

test('the signal ends it with its reason, before and meanwhile', async (t) => {
  const url = await answering(t, '', 'hang');
  const why = new Error('the pod is gone');
  await assert.rejects(get(url, {}, { signal: AbortSignal.abort(why) }), why);
  const stopping = new AbortController();
  const waiting = get(url, {}, { signal: stopping.signal });
  setImmediate(() => stopping.abort(why));
  await assert.rejects(waiting, why);
});
