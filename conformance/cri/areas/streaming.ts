/** Exec, Attach and PortForward, as a client sees them. */
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { PassThrough, Readable, Writable } from 'node:stream';
import { NamespaceMode } from '#contracts/cri/runtime_pb.ts';
import { connectPortForward } from '#foundation/stream/port-forward/client.ts';
import { connectRemoteCommand } from '#foundation/stream/remote-command/client.ts';
import { createChannelSocket } from '#foundation/stream/websocket/channels.ts';
import { connectWebSocket } from '#foundation/stream/websocket/upgrade.ts';
import { fails } from '../expect.ts';
import { area } from '../rule.ts';

/** Keeps what is written. */
function sink(): { stream: Writable; text: () => string; bytes: () => Buffer } {
  const chunks: Buffer[] = [];
  const stream = new Writable({
    write: (chunk: Buffer, _encoding, done) => {
      chunks.push(chunk);
      done();
    },
  });
  const bytes = () => Buffer.concat(chunks);
  return { stream, bytes, text: () => bytes().toString() };
}

const transports = [
  { over: 'SPDY v4', transport: 'spdy', protocols: ['v4.channel.k8s.io'], halfClose: true },
  { over: 'SPDY v2', transport: 'spdy', protocols: ['v2.channel.k8s.io'], halfClose: true },
  { over: 'WebSocket v4', transport: 'websocket', protocols: ['v4.channel.k8s.io'], halfClose: false },
  {
    over: 'WebSocket v4 base64',
    transport: 'websocket',
    protocols: ['v4.base64.channel.k8s.io'],
    halfClose: false,
  },
  { over: 'WebSocket v5', transport: 'websocket', protocols: ['v5.channel.k8s.io'], halfClose: true },
] as const;

const webServer = ['httpd', '-f', '-p', '80', '-h', '/srv'];
const request = 'GET / HTTP/1.0\r\n\r\n';

export const streaming = area('streaming', (rule) => {
  for (const { over, transport, protocols, halfClose } of transports) {
    rule(`exec over ${over}: outputs apart, exit code, standard input`, async (t) => {
      const { id: containerId } = await t.running();
      const [stdout, stderr] = [sink(), sink()];
      const cmd = ['sh', '-c', 'read line; echo "got $line"; echo err >&2; exit 6'];
      const { url } = await t.cri.runtime.exec({ containerId, cmd, stdin: true, stdout: true, stderr: true });
      const stdin = new PassThrough();
      const session = await connectRemoteCommand(url, {
        transport,
        protocols,
        tty: false,
        stdin,
        stdout: stdout.stream,
        stderr: stderr.stream,
      });
      stdin.write('line\n');
      if (protocols[0] === 'v2.channel.k8s.io') await assert.rejects(session.exitCode, /6/);
      else assert.equal(await session.exitCode, 6);
      assert.equal(stdout.text(), 'got line\n');
      assert.equal(stderr.text(), 'err\n');
    });

    rule(
      `exec over ${over}: 100 MB through standard input come back byte for byte`,
      async (t) => {
        const { id: containerId } = await t.running();
        const body = randomBytes(100_000_000);
        const hash = createHash('sha256');
        let size = 0;
        const stdout = new Writable({
          write: (chunk: Buffer, _encoding, done) => {
            hash.update(chunk);
            size += chunk.length;
            done();
          },
        });
        const cmd = halfClose ? ['cat'] : ['head', '-c', String(body.length)];
        const { url } = await t.cri.runtime.exec({ containerId, cmd, stdin: true, stdout: true });
        const session = await connectRemoteCommand(url, {
          transport,
          protocols,
          tty: false,
          stdin: Readable.from([body]),
          stdout,
        });
        assert.equal(await session.exitCode, 0);
        assert.equal(size, body.length);
        assert.equal(hash.digest('hex'), createHash('sha256').update(body).digest('hex'));
      },
      { alone: true },
    );
  }

  rule('exec with a terminal: one output, sizes arrive', async (t) => {
    const { id: containerId } = await t.running();
    const stdout = sink();
    const cmd = ['sh', '-c', 'read x; stty size; tty; echo to-stderr >&2'];
    const { url } = await t.cri.runtime.exec({ containerId, cmd, stdin: true, stdout: true, tty: true });
    const stdin = new PassThrough();
    const resizes = Readable.from([{ width: 123, height: 45 }]);
    const session = await connectRemoteCommand(url, {
      transport: 'spdy',
      tty: true,
      stdin,
      stdout: stdout.stream,
      resizes,
    });
    await new Promise((resolve) => setTimeout(resolve, 500));
    stdin.write('\n');
    assert.equal(await session.exitCode, 0);
    assert.match(stdout.text(), /45 123/);
    assert.match(stdout.text(), /\/dev\/pts\//);
    assert.match(stdout.text(), /to-stderr/);
  });

  rule('the URL is absolute and holds for one client', async (t) => {
    const { id: containerId } = await t.running();
    const { url } = await t.cri.runtime.exec({ containerId, cmd: ['true'], stdout: true });
    assert.match(url, /^https?:\/\/[^/]+\/\w+\/[\w-]{8,}$/);
    const connect = () => connectRemoteCommand(url, { transport: 'spdy', tty: false, stdout: sink().stream });
    assert.equal(await (await connect()).exitCode, 0);
    await fails(connect(), 'NOT_FOUND');
    await fails(
      connectRemoteCommand(url.replace(/[^/]+$/, 'AAAAAAAA'), {
        transport: 'spdy',
        tty: false,
        stdout: sink().stream,
      }),
      'NOT_FOUND',
    );
  });

  rule('requests that ask for nothing, or for a terminal and stderr, are INVALID_ARGUMENT', async (t) => {
    const { id: containerId } = await t.running();
    const { runtime } = t.cri;
    const cmd = ['true'];
    await fails(runtime.exec({ containerId, cmd }), 'INVALID_ARGUMENT');
    await fails(
      runtime.exec({ containerId, cmd, tty: true, stdout: true, stderr: true }),
      'INVALID_ARGUMENT',
    );
    await fails(runtime.exec({ cmd, stdout: true }));
    await fails(runtime.attach({ containerId }), 'INVALID_ARGUMENT');
    await fails(runtime.attach({ containerId, tty: true, stdout: true, stderr: true }), 'INVALID_ARGUMENT');
    await fails(runtime.portForward({}));
  });

  rule('exec, attach and port-forward need something that runs', async (t) => {
    const pod = await t.pod();
    const containerId = await t.start(pod, { command: ['true'] });
    await t.exited(containerId);
    const { runtime } = t.cri;
    await fails(runtime.exec({ containerId, cmd: ['true'], stdout: true }));
    await fails(runtime.attach({ containerId, stdout: true }));
    await fails(runtime.exec({ containerId: '0'.repeat(64), cmd: ['true'], stdout: true }), 'NOT_FOUND');
    await runtime.stopPodSandbox({ podSandboxId: pod.id });
    await fails(runtime.portForward({ podSandboxId: pod.id, port: [80] }));
  });

  rule('a program that is not there ends the exec session with an error', async (t) => {
    const { id: containerId } = await t.running();
    const { url } = await t.cri.runtime.exec({ containerId, cmd: ['/no/such'], stdout: true });
    const session = await connectRemoteCommand(url, { transport: 'spdy', tty: false, stdout: sink().stream });
    const code = await session.exitCode.catch((error: Error) => error.message);
    if (typeof code === 'string') assert.match(code, /no such/i);
    else assert.notEqual(code, 0);
  });

  rule('attach with stdin_once: the end of standard input ends it for the container too', async (t) => {
    const pod = await t.pod();
    const containerId = await t.start(pod, {
      stdin: true,
      stdinOnce: true,
      logPath: 'log.log',
      command: ['cat'],
    });
    const stdout = sink();
    const { url } = await t.cri.runtime.attach({ containerId, stdin: true, stdout: true, stderr: true });
    const session = await connectRemoteCommand(url, {
      transport: 'spdy',
      tty: false,
      stdin: Readable.from([Buffer.from('typed\n')]),
      stdout: stdout.stream,
      stderr: sink().stream,
    });
    await session.exitCode;
    assert.equal((await t.exited(containerId)).exitCode, 0);
    assert.equal(stdout.text(), 'typed\n');
    assert.match(readFileSync(t.logFile(pod, 'log'), 'utf8'), /stdout F typed/);
  });

  rule('attach shows what comes from now on, and leaving does not end the container', async (t) => {
    const script = 'i=0; while true; do i=$((i+1)); echo $i; sleep 0.1; done';
    const { id: containerId } = await t.running({ command: ['sh', '-c', script] });
    const stdout = sink();
    const { url } = await t.cri.runtime.attach({ containerId, stdout: true, stderr: true });
    const session = await connectRemoteCommand(url, {
      transport: 'spdy',
      tty: false,
      stdout: stdout.stream,
      stderr: sink().stream,
    });
    await t.eventually('output', () => stdout.text().split('\n').length > 3 || undefined);
    await session.close();
    assert.equal(await t.output(containerId, 'echo lives'), 'lives');
  });

  rule('attach to a terminal types and sees', async (t) => {
    const { id: containerId } = await t.running({ tty: true, stdin: true, command: ['sh'] });
    const [stdout, stdin] = [sink(), new PassThrough()];
    const { url } = await t.cri.runtime.attach({ containerId, stdin: true, stdout: true, tty: true });
    const session = await connectRemoteCommand(url, {
      transport: 'spdy',
      tty: true,
      stdin,
      stdout: stdout.stream,
    });
    stdin.write('echo $((40+2))\n');
    await t.eventually('the answer', () => /\b42\b/.test(stdout.text()) || undefined);
    stdin.write('exit 3\n');
    await session.exitCode;
    assert.equal((await t.exited(containerId)).exitCode, 3);
  });

  for (const transport of ['spdy', 'tunnel'] as const) {
    rule(`port-forward over ${transport}: several connections, and a closed port says so`, async (t) => {
      const { pod } = await t.running({ command: webServer });
      const { url } = await t.cri.runtime.portForward({ podSandboxId: pod.id, port: [80] });
      const client = await connectPortForward(url, { transport });
      const get = async () => {
        const { data } = await client.open(80);
        data.end(request);
        return Buffer.concat(await data.toArray()).toString();
      };
      await t.eventually('the page', async () => /served by the pod/.test(await get()) || undefined);
      const answers = await Promise.all([get(), get(), get()]);
      for (const answer of answers) assert.match(answer, /served by the pod/);
      const closed = await client.open(81);
      closed.data.resume();
      assert.notEqual(await closed.failure, '');
      await client.close();
    });
  }

  rule('port-forward over WebSocket: two channels per port, each starting with the port', async (t) => {
    const { pod, id } = await t.running({ command: webServer });
    await t.eventually(
      'the server',
      async () => (await t.sh(id, 'wget -q -O - http://127.0.0.1/')).exitCode === 0 || undefined,
    );
    const { url } = await t.cri.runtime.portForward({ podSandboxId: pod.id, port: [80] });
    const socket = await connectWebSocket({ url: new URL(url), protocols: ['v4.channel.k8s.io'] });
    const channels = createChannelSocket(socket, { role: 'client' });
    t.defer(() => channels.close());
    const [data, error] = [sink(), sink()];
    channels.readable(0).pipe(data.stream);
    channels.readable(1).pipe(error.stream);
    channels.writable(0).write(request);
    channels.start();
    await t.eventually('the page', () => /served by the pod/.test(data.text()) || undefined);
    assert.deepEqual(data.bytes().subarray(0, 2), Buffer.from([80, 0]));
    assert.deepEqual(error.bytes(), Buffer.from([80, 0]));
  });

  rule('port-forward reaches a pod with the host network', async (t) => {
    const fields = { linux: { securityContext: { namespaceOptions: { network: NamespaceMode.NODE } } } };
    const { pod } = await t.running({ ...fields, command: ['sleep', '100'] }, fields);
    const server = createServer((socket) => socket.end('host')).listen(0, '127.0.0.1');
    t.defer(() => server.close());
    await new Promise((resolve) => server.once('listening', resolve));
    const { port } = server.address() as { port: number };
    const { url } = await t.cri.runtime.portForward({ podSandboxId: pod.id, port: [port] });
    const client = await connectPortForward(url, { transport: 'spdy' });
    const { data } = await client.open(port);
    assert.equal(Buffer.concat(await data.toArray()).toString(), 'host');
    await client.close();
  });

  rule('a client that vanishes does no harm', async (t) => {
    const { id: containerId } = await t.running();
    for (let round = 0; round < 3; round += 1) {
      const { url } = await t.cri.runtime.exec({ containerId, cmd: ['yes'], stdout: true });
      const leave = new AbortController();
      const session = await connectRemoteCommand(url, {
        transport: 'spdy',
        tty: false,
        stdout: sink().stream,
        signal: leave.signal,
      });
      await new Promise((resolve) => setTimeout(resolve, 100));
      leave.abort();
      await session.exitCode.catch(() => {});
    }
    assert.equal(await t.output(containerId, 'echo lives'), 'lives');
  });

  rule('a client that never reads holds up nobody else', async (t) => {
    const { id: containerId } = await t.running();
    const { url } = await t.cri.runtime.exec({ containerId, cmd: ['yes'], stdout: true });
    const leave = new AbortController();
    const stuck = new Writable({ write: () => {} });
    const session = await connectRemoteCommand(url, {
      transport: 'spdy',
      tty: false,
      stdout: stuck,
      signal: leave.signal,
    });
    await new Promise((resolve) => setTimeout(resolve, 500));
    assert.equal(await t.output(containerId, 'echo lives'), 'lives');
    await t.running();
    leave.abort();
    await session.exitCode.catch(() => {});
  });

  rule('rubbish after the upgrade ends that connection only', async (t) => {
    const { pod, id: containerId } = await t.running();
    const { runtime } = t.cri;
    for (let round = 0; round < 10; round += 1) {
      const { url } =
        round % 2 === 0
          ? await runtime.exec({ containerId, cmd: ['cat'], stdin: true, stdout: true })
          : await runtime.portForward({ podSandboxId: pod.id, port: [80] });
      const { hostname, port, pathname } = new URL(url);
      const socket = connect(Number(port), hostname);
      socket.on('error', () => {});
      socket.write(
        `POST ${pathname} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n` +
          `X-Stream-Protocol-Version: ${round % 2 === 0 ? 'v4.channel' : 'portforward'}.k8s.io\r\nContent-Length: 0\r\n\r\n`,
      );
      await new Promise((resolve) => socket.once('data', resolve).once('close', resolve));
      const noise = randomBytes(300);
      noise.set([0x80, 3, 0, 1 + round, 0, 0, 0, 40]);
      socket.end(noise);
      socket.resume();
      await new Promise((resolve) => setTimeout(resolve, 20));
      socket.destroy();
    }
    assert.equal(await t.output(containerId, 'echo lives'), 'lives');
  });
});
