import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:net';
import type { Readable } from 'node:stream';
import { type TestContext, test } from 'node:test';
import { create } from '@bufbuild/protobuf';
import { PortForwardRequestSchema } from '#contracts/cri/runtime_pb.ts';
import { connectPortForward } from '#foundation/stream/port-forward/client.ts';
import { createChannelSocket } from '#foundation/stream/websocket/channels.ts';
import { connectWebSocket } from '#foundation/stream/websocket/upgrade.ts';
import { fakeRuntime, mib, startServer } from './streaming-fixture.test.ts';

async function echoServer(t: TestContext): Promise<number> {
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    socket.on('error', () => {});
    socket.pipe(socket);
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => server.close());
  return (server.address() as { port: number }).port;
}

for (const transport of ['spdy', 'tunnel'] as const) {
  test(`port-forward over ${transport}: many connections at once, half-close, a refused port`, async (t) => {
    const { runtime } = fakeRuntime(t);
    const server = await startServer(t, runtime);
    const port = await echoServer(t);
    const url = server.getPortForwardUrl(
      create(PortForwardRequestSchema, { podSandboxId: 's', port: [port] }),
    );
    const client = await connectPortForward(url, { transport });
    await Promise.all(
      Array.from({ length: 20 }, async (_, index) => {
        const { data, failure } = await client.open(port);
        const body = randomBytes(mib + index);
        data.end(body);
        const back = Buffer.concat(await data.toArray());
        assert.ok(back.equals(body));
        assert.equal(await failure, '');
      }),
    );
    const refused = await client.open(1);
    refused.data.resume();
    assert.match(await refused.failure, /Cannot forward to port 1: .*ECONNREFUSED/);
    const again = await client.open(port);
    again.data.end('still works');
    assert.equal(Buffer.concat(await again.data.toArray()).toString(), 'still works');
    await client.close();
  });
}

test('port-forward over WebSocket channels: two per port, each starting with the port', async (t) => {
  const { runtime } = fakeRuntime(t);
  const server = await startServer(t, runtime);
  const port = await echoServer(t);
  const url = server.getPortForwardUrl(
    create(PortForwardRequestSchema, { podSandboxId: 's', port: [port, 1] }),
  );
  const socket = await connectWebSocket({ url: new URL(url), protocols: ['v4.channel.k8s.io'] });
  const channels = createChannelSocket(socket, { role: 'client' });
  const [data, error] = [channels.readable(0), channels.readable(1)];
  const [otherData, otherError] = [channels.readable(2), channels.readable(3)];
  channels.writable(0).write('ping');
  channels.start();
  const expectedPort = Buffer.from([port & 255, port >> 8]);
  const read = async (stream: Readable, count: number) => {
    const chunks: Buffer[] = [];
    while (Buffer.concat(chunks).length < count) {
      const chunk = stream.read() as Buffer | null;
      if (chunk === null) await once(stream, 'readable');
      else chunks.push(chunk);
    }
    return Buffer.concat(chunks);
  };
  assert.deepEqual(await read(data, 6), Buffer.concat([expectedPort, Buffer.from('ping')]));
  assert.deepEqual(await read(error, 2), expectedPort);
  assert.deepEqual(await read(otherData, 2), Buffer.from([1, 0]));
  assert.match((await read(otherError, 20)).subarray(2).toString(), /Cannot forward to port 1/);
  await channels.close();
});
