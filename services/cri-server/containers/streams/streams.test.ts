import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { PassThrough, Readable, Writable } from 'node:stream';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { listenIn } from '#foundation/linux/dial.ts';
import { openFixture } from '../../../../test/containers-fixture.ts';
import type { SessionStreams } from '../../ports.ts';
import { streamingRuntime } from './index.ts';

function collector() {
  const chunks: Buffer[] = [];
  const stream = new Writable({
    write(chunk, _encoding, done) {
      chunks.push(chunk);
      done();
    },
  });
  return { stream, text: () => Buffer.concat(chunks).toString() };
}

async function* noSizes(): AsyncGenerator<{ width: number; height: number }> {}

function session(streams: Partial<SessionStreams> = {}): SessionStreams {
  return { resizes: noSizes(), signal: new AbortController().signal, ...streams };
}

test('exec passes streams apart, closes stdin at half-close, and answers the exact code', async (t) => {
  const fixture = await openFixture(t);
  const containerId = await fixture.run('sleep 100');
  const runtime = streamingRuntime(fixture.containers.core);
  const [out, errors] = [collector(), collector()];
  const command = ['sh', '-c', 'cat; echo err >&2; exit 42'];
  const code = await runtime.exec(
    { containerId, command, tty: false },
    session({ stdin: Readable.from(['a\n', 'b\n']), stdout: out.stream, stderr: errors.stream }),
  );
  assert.deepEqual([code, out.text(), errors.text()], [42, 'a\nb\n', 'err\n']);
  await assert.rejects(
    runtime.exec({ containerId, command: ['nothere'], tty: false }, session()),
    /not found/,
  );
});

test('100 MB go through stdin and come back byte for byte', async (t) => {
  const fixture = await openFixture(t);
  const containerId = await fixture.run('sleep 100');
  const runtime = streamingRuntime(fixture.containers.core);
  const block = randomBytes(1024 * 1024);
  const [sent, got] = [createHash('sha256'), createHash('sha256')];
  let bytes = 0;
  const stdin = Readable.from(
    (function* () {
      for (let i = 0; i < 100; i += 1) {
        block.writeUInt32LE(i, 0);
        sent.update(block);
        yield Buffer.from(block);
      }
    })(),
  );
  const stdout = new Writable({
    write(chunk: Buffer, _encoding, done) {
      bytes += chunk.length;
      got.update(chunk);
      done();
    },
  });
  assert.equal(
    await runtime.exec({ containerId, command: ['cat'], tty: false }, session({ stdin, stdout })),
    0,
  );
  assert.equal(bytes, 100 * 1024 * 1024);
  assert.equal(got.digest('hex'), sent.digest('hex'));
});

test('a terminal has the size the client sends, and a client that leaves ends the command', async (t) => {
  const fixture = await openFixture(t);
  const containerId = await fixture.run('sleep 100');
  const runtime = streamingRuntime(fixture.containers.core);
  const out = collector();
  const stdin = new PassThrough();
  async function* resizes() {
    yield { width: 91, height: 33 };
    await sleep(300);
    yield { width: 101, height: 44 };
  }
  const running = runtime.exec(
    {
      containerId,
      command: ['sh', '-c', 'tty; sleep 0.2; stty size; read x; stty size; echo "got $x"; exit 9'],
      tty: true,
    },
    session({ stdin, stdout: out.stream, resizes: resizes() }),
  );
  await sleep(700);
  stdin.write('hello\n');
  assert.equal(await running, 9);
  assert.match(out.text(), /\/dev\/pts\/\d+\r\n33 91\r\nhello\r\n44 101\r\ngot hello\r\n/);
  const leaving = new AbortController();
  const abandoned = runtime.exec(
    { containerId, command: ['sleep', '88'], tty: true },
    session({ stdout: out.stream, signal: leaving.signal }),
  );
  await sleep(300);
  leaving.abort();
  assert.equal(await abandoned, 137);
  assert.doesNotMatch((await fixture.exec(containerId, 'ps')).stdout, /sleep 88/);
});

test('what a command writes to its terminal and ends comes whole, also of many at once', async (t) => {
  const fixture = await openFixture(t);
  const containerId = await fixture.run('sleep 100');
  const runtime = streamingRuntime(fixture.containers.core);
  const command = ['sh', '-c', 'echo first; head -c 3000 /dev/zero | tr "\\0" x; echo last; exit 5'];
  const one = async () => {
    const out = collector();
    const code = await runtime.exec({ containerId, command, tty: true }, session({ stdout: out.stream }));
    return [code, out.text()];
  };
  const whole = [5, `first\r\n${'x'.repeat(3000)}last\r\n`];
  for (let round = 0; round < 8; round += 1)
    for (const each of await Promise.all(Array.from({ length: 5 }, one))) assert.deepEqual(each, whole);
  await assert.rejects(
    runtime.exec({ containerId, command: ['nothere'], tty: true }, session()),
    /not found/,
  );
});

test('attach joins the streams of the process and closes its stdin once', async (t) => {
  const fixture = await openFixture(t);
  const runtime = streamingRuntime(fixture.containers.core);
  const containerId = await fixture.create({
    command: ['sh', '-c', 'cat; echo done >&2'],
    stdin: true,
    stdinOnce: true,
  });
  const [out, errors] = [collector(), collector()];
  const stdin = new PassThrough();
  const attached = runtime.attach(
    { containerId, tty: false },
    session({ stdin, stdout: out.stream, stderr: errors.stream }),
  );
  await fixture.start(containerId);
  stdin.write('one\n');
  await sleep(100);
  stdin.end('two\n');
  await attached;
  await fixture.ended(containerId);
  assert.deepEqual([out.text(), errors.text()], ['one\ntwo\n', 'done\n']);
  await assert.rejects(runtime.attach({ containerId, tty: false }, session()), {
    code: 'FAILED_PRECONDITION',
  });
});

test('stdin stays open after a client left when it is not for once, and output is not lost', async (t) => {
  const fixture = await openFixture(t);
  const runtime = streamingRuntime(fixture.containers.core);
  const containerId = await fixture.run('cat; echo end', { stdin: true });
  await runtime.attach(
    { containerId, tty: false },
    session({ stdin: Readable.from(['first\n']), signal: AbortSignal.timeout(400) }),
  );
  const { logPath, state } = await fixture.status(containerId);
  assert.equal(state, 1);
  for (let i = 0; i < 200 && !readFileSync(logPath, 'utf8').includes('first'); i += 1) await sleep(20);
  const out = collector();
  const second = new PassThrough();
  const leave = new AbortController();
  const attached = runtime.attach(
    { containerId, tty: false },
    session({ stdin: second, stdout: out.stream, signal: leave.signal }),
  );
  const megabyte = Buffer.alloc(1024 * 1024, 'x\n');
  for (let i = 0; i < 4; i += 1) second.write(megabyte);
  for (let i = 0; i < 100 && out.text().length < 4 * megabyte.length; i += 1) await sleep(50);
  leave.abort();
  await attached;
  assert.equal(out.text().length, 4 * megabyte.length);
});

test('dial reaches a port of the pod alone', async (t) => {
  const fixture = await openFixture(t);
  const runtime = streamingRuntime(fixture.containers.core);
  const network = fixture.sandbox.namespaces.network ?? '';
  execFileSync('nsenter', [`--net=${network}`, 'ip', 'link', 'set', 'lo', 'up']);
  const server = createServer((client) => client.end('hello from the pod\n'));
  t.after(() => server.close());
  await listenIn(network, server, 7777);
  const socket = await runtime.dial(fixture.sandbox.id, 7777);
  const text = await new Promise<string>((resolve) => {
    let all = '';
    socket.on('data', (chunk: Buffer) => {
      all += chunk.toString();
    });
    socket.on('end', () => resolve(all));
  });
  assert.equal(text, 'hello from the pod\n');
  socket.destroy();
  await assert.rejects(runtime.dial(fixture.sandbox.id, 7778), { code: 'UNAVAILABLE' });
});
