import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { test } from 'node:test';
import { create } from '@bufbuild/protobuf';
import {
  AttachRequestSchema,
  ExecRequestSchema,
  PortForwardRequestSchema,
} from '#contracts/cri/runtime_pb.ts';
import { isSkiffError } from '#foundation/base/errors.ts';
import { connectRemoteCommand } from '#foundation/stream/remote-command/client.ts';
import { collector, execUrl, fakeRuntime, startServer } from './streaming-fixture.test.ts';

test('tokens: 8 characters, single use, a minute, a thousand at once, only for what they were given for', async (t) => {
  const { runtime } = fakeRuntime(t);
  let now = 0;
  const server = await startServer(t, runtime, { clock: { monotonic: () => now } });
  const options = {
    transport: 'spdy',
    tty: false,
    stdout: collector().stream,
    stderr: collector().stream,
  } as const;
  const run = async (url: string) => (await connectRemoteCommand(url, options)).exitCode;
  const url = execUrl(server, ['true'], { stdin: false });
  assert.match(url, /^http:\/\/127\.0\.0\.1:\d+\/exec\/[\w-]{8}$/);
  assert.equal((await fetch(url)).status, 400, 'a plain request must not use the token up');
  assert.equal((await fetch(url, { method: 'DELETE' })).status, 405);
  assert.equal(await run(url), 0);
  await assert.rejects(run(url), (error) => isSkiffError(error, 'NOT_FOUND'));
  const old = execUrl(server, ['true'], { stdin: false });
  now = 60_001;
  await assert.rejects(run(old), (error) => isSkiffError(error, 'NOT_FOUND'));
  const misused = execUrl(server, ['true'], { stdin: false });
  await assert.rejects(run(misused.replace('/exec/', '/attach/')), (error) =>
    isSkiffError(error, 'NOT_FOUND'),
  );
  for (let index = 0; index < 1000; index += 1) execUrl(server, ['true']);
  assert.throws(
    () => execUrl(server, ['true']),
    (error) => isSkiffError(error, 'RESOURCE_EXHAUSTED'),
  );
  now += 60_001;
  execUrl(server, ['true']);
});

test('requests are checked', async (t) => {
  const server = await startServer(t, fakeRuntime(t).runtime);
  const bad = [
    { cmd: ['x'], stdout: true },
    { containerId: 'c', stdout: true },
    { containerId: 'c', cmd: ['x'] },
    { containerId: 'c', cmd: ['x'], tty: true, stdout: true, stderr: true },
  ];
  for (const fields of bad) {
    assert.throws(
      () => server.getExecUrl(create(ExecRequestSchema, fields)),
      (error) => isSkiffError(error, 'INVALID_ARGUMENT'),
      JSON.stringify(fields),
    );
  }
  assert.throws(() => server.getAttachUrl(create(AttachRequestSchema, { containerId: 'c' })), /at least one/);
  assert.throws(() => server.getPortForwardUrl(create(PortForwardRequestSchema, {})), /pod_sandbox_id/);
  assert.throws(
    () => server.getPortForwardUrl(create(PortForwardRequestSchema, { podSandboxId: 's', port: [70_000] })),
    /70000 is no port/,
  );
});

test('streams that do not come in time, and rubbish after the upgrade, end the session; the server lives', async (t) => {
  const { runtime, started } = fakeRuntime(t);
  const server = await startServer(t, runtime, { streamCreationTimeoutMs: 200 });
  const upgrade = (url: string) => {
    const { port, pathname } = new URL(url);
    const socket = connect(Number(port), '127.0.0.1');
    socket.write(
      `POST ${pathname} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n` +
        'X-Stream-Protocol-Version: v4.channel.k8s.io\r\nContent-Length: 0\r\n\r\n',
    );
    socket.on('error', () => {});
    return socket;
  };
  const silent = upgrade(execUrl(server, ['true']));
  silent.resume();
  await once(silent, 'close');
  for (let round = 0; round < 40; round += 1) {
    const socket = upgrade(execUrl(server, ['true']));
    await once(socket, 'data');
    socket.resume();
    const noise = randomBytes(64 + round * 97);
    if (round % 3 === 0) noise.set([0x80, 3, 0, 1 + (round % 9), 0, 0, 0, 20]);
    socket.write(noise);
    await once(socket, 'close');
  }
  assert.equal(started.length, 0);
  const options = {
    transport: 'spdy',
    tty: false,
    stdout: collector().stream,
    stderr: collector().stream,
  } as const;
  const session = await connectRemoteCommand(execUrl(server, ['true'], { stdin: false }), options);
  assert.equal(await session.exitCode, 0);
});

test('with a certificate the URLs are https, and sessions run over TLS', async (t) => {
  const directory = mkdtempSync('/tmp/skiff-tls-');
  t.after(() => rmSync(directory, { recursive: true }));
  const [key, cert] = [`${directory}/key.pem`, `${directory}/cert.pem`];
  const subject = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=IP:127.0.0.1'];
  const kind = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '1'];
  execFileSync('openssl', ['req', '-x509', ...kind, '-keyout', key, '-out', cert, ...subject], {
    stdio: 'ignore',
  });
  const tls = { key: readFileSync(key), cert: readFileSync(cert) };
  const server = await startServer(t, fakeRuntime(t).runtime, { tls });
  for (const transport of ['spdy', 'websocket'] as const) {
    const url = execUrl(server, ['sh', '-c', 'echo secret'], { stdin: false });
    assert.match(url, /^https:/);
    const stdout = collector();
    const request = { transport, tty: false, stdout: stdout.stream, stderr: collector().stream };
    const session = await connectRemoteCommand(url, { ...request, tls: { ca: tls.cert } });
    assert.equal(await session.exitCode, 0);
    assert.equal(stdout.text(), 'secret\n');
  }
});
