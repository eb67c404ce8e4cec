/** Calls to pods by way of the API: how long they may take. */
import assert from 'node:assert/strict';
import { createServer, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import type { ApiRequest } from '../http/request.ts';
import { pass } from './proxy.ts';

const patienceMs = 2000;

async function listening(serve: RequestListener): Promise<{ server: Server; port: number }> {
  const server = createServer(serve);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { server, port: (server.address() as AddressInfo).port };
}

/** GETs through a proxy before a pod that answers so. */
async function get(pod: RequestListener): Promise<string> {
  const behind = await listening(pod);
  const place = { secure: false, host: '127.0.0.1', port: behind.port };
  const { signal } = new AbortController();
  const front = await listening((raw, response) => {
    const request = { raw, response, signal, target: { rest: 'x' }, query: new URLSearchParams() };
    pass({ request: request as unknown as ApiRequest }, place, patienceMs).catch((error: Error) =>
      response.writeHead(503).end(error.message),
    );
  });
  try {
    return await (await fetch(`http://127.0.0.1:${front.port}/`)).text();
  } finally {
    for (const { server } of [behind, front]) {
      server.closeAllConnections();
      server.close();
    }
  }
}

test('a pod must begin to answer in time, and may then be silent for longer', async () => {
  const [silent, pausing] = await Promise.all([
    get(() => {}),
    get(async (_, response) => {
      response.writeHead(200).write('one ');
      await wait(2 * patienceMs);
      response.end('two');
    }),
  ]);
  assert.match(silent, /no answer within 2 s/);
  assert.equal(pausing, 'one two');
});
