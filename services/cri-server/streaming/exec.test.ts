import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { PassThrough, Readable, Writable } from 'node:stream';
import { test } from 'node:test';
import { create } from '@bufbuild/protobuf';
import { AttachRequestSchema } from '#contracts/cri/runtime_pb.ts';
import { isSkiffError } from '#foundation/base/errors.ts';
import { connectRemoteCommand, type RemoteCommandRequest } from '#foundation/stream/remote-command/client.ts';
import { collector, execUrl, fakeRuntime, mib, startServer } from './streaming-fixture.test.ts';

const dialects: { name: string; transport: 'spdy' | 'websocket'; protocols: string[]; halfClose: boolean }[] =
  [
    { name: 'SPDY v4', transport: 'spdy', protocols: ['v4.channel.k8s.io'], halfClose: true },
    { name: 'SPDY v3', transport: 'spdy', protocols: ['v3.channel.k8s.io'], halfClose: true },
    { name: 'SPDY v2', transport: 'spdy', protocols: ['v2.channel.k8s.io'], halfClose: true },
    { name: 'SPDY v1', transport: 'spdy', protocols: ['channel.k8s.io'], halfClose: true },
    { name: 'SPDY unversioned', transport: 'spdy', protocols: [''], halfClose: true },
    { name: 'WebSocket v5', transport: 'websocket', protocols: ['v5.channel.k8s.io'], halfClose: true },
    { name: 'WebSocket v4', transport: 'websocket', protocols: ['v4.channel.k8s.io'], halfClose: false },
    {
      name: 'WebSocket v4 base64',
      transport: 'websocket',
      protocols: ['v4.base64.channel.k8s.io'],
      halfClose: false,
    },
    { name: 'WebSocket v1', transport: 'websocket', protocols: ['channel.k8s.io'], halfClose: false },
    {
      name: 'WebSocket base64',
      transport: 'websocket',
      protocols: ['base64.channel.k8s.io'],
      halfClose: false,
    },
    { name: 'WebSocket unnamed', transport: 'websocket', protocols: [], halfClose: false },
  ];

for (const dialect of dialects) {
  const { transport, protocols } = dialect;
  test(`${dialect.name}: 100 MiB through stdin come back byte for byte`, async (t) => {
    const { runtime } = fakeRuntime(t);
    const server = await startServer(t, runtime);
    const total = 100 * mib;
    const block = randomBytes(mib);
    const sent = createHash('sha256');
    const received = createHash('sha256');
    let size = 0;
    const stdin = Readable.from(
      (function* () {
        for (let index = 0; index < total / mib; index += 1) {
          block.writeUInt32LE(index);
          const copy = Buffer.from(block);
          sent.update(copy);
          yield copy;
        }
      })(),
    );
    const stdout = new Writable({
      write: (chunk: Buffer, _encoding, done) => {
        received.update(chunk);
        size += chunk.length;
        done();
      },
    });
    // Without half-close `cat` would never end: `head` stops by itself.
    const command = dialect.halfClose ? ['cat'] : ['head', '-c', String(total)];
    const url = execUrl(server, command);
    const stderr = collector();
    const session = await connectRemoteCommand(url, {
      transport,
      protocols,
      tty: false,
      stdin,
      stdout,
      stderr: stderr.stream,
    });
    assert.equal(session.protocol, protocols[0] ?? '');
    assert.equal(await session.exitCode, 0);
    assert.equal(size, total);
    assert.equal(received.digest('hex'), sent.digest('hex'));
  });

  test(`${dialect.name}: outputs stay apart and a failure arrives`, async (t) => {
    const { runtime } = fakeRuntime(t);
    const server = await startServer(t, runtime);
    const stdout = collector();
    const stderr = collector();
    const session = await connectRemoteCommand(
      execUrl(server, ['sh', '-c', 'echo out; echo err >&2; exit 7'], { stdin: false }),
      { transport, protocols, tty: false, stdout: stdout.stream, stderr: stderr.stream },
    );
    if (protocols[0]?.startsWith('v4') || protocols[0]?.startsWith('v5')) {
      assert.equal(await session.exitCode, 7);
    } else {
      await assert.rejects(session.exitCode, /exit code 7/);
    }
    assert.equal(stdout.text(), 'out\n');
    assert.equal(stderr.text(), 'err\n');
    const failing = await connectRemoteCommand(execUrl(server, ['fail'], { stdin: false }), {
      transport,
      protocols,
      tty: false,
      stdout: stdout.stream,
      stderr: stderr.stream,
    });
    await assert.rejects(failing.exitCode, /no such program/);
  });
}

for (const transport of ['spdy', 'websocket'] as const) {
  test(`${transport}: terminal sizes arrive in order, zeros and rubbish are left out`, async (t) => {
    const { runtime, seen } = fakeRuntime(t);
    const server = await startServer(t, runtime);
    const stdin = new PassThrough();
    const session = await connectRemoteCommand(execUrl(server, ['cat'], { tty: true }), {
      transport,
      tty: true,
      stdin,
      stdout: collector().stream,
      resizes: Readable.from([
        { width: 80, height: 24 },
        { width: 0, height: 0 },
        { width: -5, height: 10 },
        { width: 132, height: 50 },
      ]),
    });
    while (seen.sizes.length < 2) await new Promise((resolve) => setTimeout(resolve, 10));
    stdin.end();
    assert.equal(await session.exitCode, 0);
    assert.deepEqual(seen.sizes, [
      { width: 80, height: 24 },
      { width: 132, height: 50 },
    ]);
  });

  test(`${transport}: a client that does not read holds the command back, and memory stays bounded`, async (t) => {
    const { runtime, started } = fakeRuntime(t);
    const server = await startServer(t, runtime);
    const release = Promise.withResolvers<void>();
    let got = 0;
    const stdout = new Writable({
      highWaterMark: 1,
      write: (chunk: Buffer, _encoding, done) => {
        got += chunk.length;
        void release.promise.then(() => done());
      },
    });
    const before = process.memoryUsage().rss;
    const session = await connectRemoteCommand(
      execUrl(server, ['head', '-c', String(300 * mib), '/dev/zero'], { stdin: false }),
      { transport, tty: false, stdout, stderr: collector().stream },
    );
    await new Promise((resolve) => setTimeout(resolve, 700));
    assert.equal(started[0]?.exitCode, null, 'the command was not held back');
    const growth = process.memoryUsage().rss - before;
    assert.ok(growth < 150 * mib, `memory grew by ${growth} bytes`);
    release.resolve();
    assert.equal(await session.exitCode, 0);
    assert.equal(got, 300 * mib);
  });

  test(`${transport}: when the client vanishes, the command is told`, async (t) => {
    const { runtime, seen, started } = fakeRuntime(t);
    const server = await startServer(t, runtime);
    const leave = new AbortController();
    const session = await connectRemoteCommand(execUrl(server, ['sleep', '1000'], { stdin: false }), {
      transport,
      tty: false,
      stdout: collector().stream,
      stderr: collector().stream,
      signal: leave.signal,
    });
    while (started.length === 0) await new Promise((resolve) => setTimeout(resolve, 10));
    leave.abort();
    await assert.rejects(session.exitCode, (error) => isSkiffError(error, 'CANCELLED'));
    while (seen.gone === 0) await new Promise((resolve) => setTimeout(resolve, 10));
  });

  test(`${transport}: attach couples the streams and ends with success`, async (t) => {
    const { runtime } = fakeRuntime(t);
    const server = await startServer(t, runtime);
    const stdout = collector();
    const url = server.getAttachUrl(
      create(AttachRequestSchema, { containerId: 'c', stdin: true, stdout: true, stderr: true }),
    );
    const request: RemoteCommandRequest = {
      transport,
      tty: false,
      stdin: Readable.from([Buffer.from('typed')]),
      stdout: stdout.stream,
      stderr: collector().stream,
    };
    assert.equal(await (await connectRemoteCommand(url, request)).exitCode, 0);
    assert.equal(stdout.text(), 'typed');
  });
}
