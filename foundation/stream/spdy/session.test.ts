import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { type TestContext, test } from 'node:test';
import { adler32 } from '#foundation/stream/testing/adler.ts';
import { spdyDictionary } from './dictionary.ts';
import { createSpdySession, type SpdySession, type SpdySessionOptions } from './session.ts';
import type { SpdyStream } from './stream.ts';

async function pair(t: TestContext): Promise<[Socket, Socket]> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  const near = connect(port, '127.0.0.1');
  const [far] = (await once(server, 'connection')) as [Socket];
  server.close();
  t.after(() => {
    near.destroy();
    far.destroy();
  });
  return [near, far];
}

async function sessions(
  t: TestContext,
  onStream: NonNullable<SpdySessionOptions['onStream']>,
): Promise<{ client: SpdySession; server: SpdySession }> {
  const [near, far] = await pair(t);
  const server = createSpdySession({ transport: far, role: 'server', onStream });
  const client = createSpdySession({ transport: near, role: 'client' });
  t.after(() => {
    client.destroy();
    server.destroy();
  });
  return { client, server };
}

test('the dictionary is the one of the specification', () => {
  assert.equal(spdyDictionary.length, 1423);
  assert.equal(adler32(spdyDictionary), 0xe3c6a7c2);
});

test('streams carry headers, data both ways and half-closes, each on its own', async (t) => {
  const seen: string[] = [];
  const { client } = await sessions(t, (stream) => {
    seen.push(stream.headers.streamtype ?? '');
    void stream.reply();
    stream.pipe(stream);
  });
  const streams = await Promise.all(
    ['one', 'two', 'three'].map((name) => client.open({ streamType: name, port: '80' })),
  );
  assert.deepEqual(seen, ['one', 'two', 'three']);
  const answers = await Promise.all(
    streams.map(async (stream, index) => {
      stream.end(`hello ${index}`);
      return Buffer.concat(await stream.toArray()).toString();
    }),
  );
  assert.deepEqual(answers, ['hello 0', 'hello 1', 'hello 2']);
});

test('64 MiB through an echo arrive byte for byte, and a slow reader holds the sender back', async (t) => {
  const { client } = await sessions(t, (stream) => {
    void stream.reply();
    stream.pipe(stream);
  });
  const stream = await client.open({ streamtype: 'data' });
  const block = randomBytes(1024 * 1024);
  const sent = createHash('sha256');
  const received = createHash('sha256');
  let written = 0;
  const writing = (async () => {
    for (let index = 0; index < 64; index += 1) {
      sent.update(block);
      written += block.length;
      if (!stream.write(block)) await once(stream, 'drain');
    }
    stream.end();
  })();
  await new Promise((resolve) => setTimeout(resolve, 200));
  assert.ok(written < 16 * 1024 * 1024, `${written} bytes were taken although nobody read`);
  for await (const chunk of stream) received.update(chunk as Buffer);
  await writing;
  assert.equal(received.digest('hex'), sent.digest('hex'));
});

test('a stalled stream does not hold up its neighbours', async (t) => {
  const { client } = await sessions(t, (stream) => {
    void stream.reply();
    if (stream.headers.streamtype === 'stalled') stream.pause();
    else stream.pipe(stream);
  });
  const stalled = await client.open({ streamtype: 'stalled' });
  const lively = await client.open({ streamtype: 'lively' });
  stalled.write(Buffer.alloc(8 * 1024 * 1024));
  lively.end('still here');
  assert.equal(Buffer.concat(await lively.toArray()).toString(), 'still here');
});

test('destroying a stream resets it at the peer; closing a session ends both sides', async (t) => {
  const opened = Promise.withResolvers<SpdyStream>();
  const { client, server } = await sessions(t, (stream) => {
    void stream.reply();
    opened.resolve(stream);
  });
  const stream = await client.open({});
  const far = await opened.promise;
  far.resume();
  const ended = once(far, 'close');
  stream.destroy();
  await ended;
  assert.ok(far.destroyed);
  await client.close();
  if (!server.signal.aborted) await once(server.signal, 'abort');
  await assert.rejects(client.open({}));
});

test('what came before a reset or the end of the session can still be read', async (t) => {
  for (const how of ['reset', 'close'] as const) {
    const { client, server } = await sessions(t, (stream) => {
      void stream.reply();
      if (how === 'close') stream.end(Buffer.alloc(100_000));
      else stream.write(Buffer.alloc(100_000), () => stream.destroy());
    });
    const stream = await client.open({});
    await new Promise((resolve) => setTimeout(resolve, 50));
    if (how === 'close') await server.close();
    assert.equal(Buffer.concat(await stream.toArray()).length, 100_000);
  }
});

test('a refused stream rejects its opening', async (t) => {
  const [near, far] = await pair(t);
  const server = createSpdySession({ transport: far, role: 'server' });
  const client = createSpdySession({ transport: near, role: 'client' });
  t.after(() => {
    server.destroy();
    client.destroy();
  });
  await assert.rejects(client.open({}), /reset stream 1 \(status 3\)/);
});

test('rubbish ends the session and nothing else', async (t) => {
  for (let round = 0; round < 50; round += 1) {
    const [near, far] = await pair(t);
    const server = createSpdySession({
      transport: far,
      role: 'server',
      onStream: (stream) => void stream.reply().catch(() => {}),
    });
    const noise = randomBytes(20 + round * 40);
    if (round % 2 === 0) noise.set([0x80, 3, 0, 1 + (round % 9), 0, 0, 0, 12 + (round % 5)]);
    near.end(noise);
    near.resume();
    if (!server.signal.aborted) await once(server.signal, 'abort');
  }
});
