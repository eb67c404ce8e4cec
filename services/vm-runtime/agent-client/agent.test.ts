/** The agent and its client, with a real guest. One VM serves the file; each test has containers of its own. */
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { connect } from 'node:net';
import { Readable } from 'node:stream';
import { after, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { isSkiffError } from '#foundation/base/errors.ts';
import {
  bootGuest,
  execIn,
  inContainer,
  outputOf,
  testConfig,
  testProcess,
  textOf,
} from '../../../test/guest-vm.ts';

const vm = await bootGuest();
let { agent } = vm;
after(() => vm.stop());

test('says what it is, and answers pings', async () => {
  assert.match(agent.hello.bootId, /^[0-9a-f-]{36}$/);
  assert.match(agent.hello.kernel, /cloud-amd64$/);
  assert.ok((await agent.ping()) < 2000);
});

test('runs a container from created to deleted', async () => {
  const config = testConfig(['sh', '-c', 'echo out; echo err >&2; cat /proc/self/cgroup; exit 7']);
  const main = await agent.createContainer({ id: 'life', config, terminal: false });
  assert.equal(main.containerId, 'life');
  const all = Promise.all([textOf(main.stdout), textOf(main.stderr)]);
  let early = true;
  void main.exited.then(() => {
    early = false;
  });
  await sleep(50);
  assert.ok(early, 'nothing runs before it is started');
  await agent.startContainer('life');
  assert.deepEqual(await main.exited.then(({ code, signal }) => ({ code, signal })), { code: 7, signal: 0 });
  assert.deepEqual(await all, ['out\n0::/pod/life\n', 'err\n']);
  await agent.deleteContainer('life');
  await agent.deleteContainer('life');
  await assert.rejects(agent.startContainer('life'), (error) => isSkiffError(error, 'NOT_FOUND'));
});

test('says why a container cannot be created, and keeps nothing of it', async () => {
  const create = (id: string, config: string) => agent.createContainer({ id, config, terminal: false });
  await assert.rejects(create('bad', testConfig(['no-such-program'])), (error) => {
    return isSkiffError(error, 'NOT_FOUND') && /no-such-program/.test(error.message);
  });
  await assert.rejects(create('bad', testConfig(['true'], { root: '/run/share/none' })), (error) =>
    isSkiffError(error),
  );
  await assert.rejects(create('../bad', testConfig(['true'])), (error) =>
    isSkiffError(error, 'INVALID_ARGUMENT'),
  );
  const main = await create('bad', testConfig(['true']));
  await assert.rejects(create('bad', testConfig(['true'])), (error) => isSkiffError(error, 'ALREADY_EXISTS'));
  await agent.deleteContainer('bad');
  // Killed before it was started.
  assert.equal((await main.exited).signal, 9);
});

test('runs 50 processes at once, each with its own output and exit code', async () => {
  await inContainer(agent, 'many', async (run) => {
    const codes = Array.from({ length: 50 }, (_, i) => (i * 37) % 256);
    const results = await Promise.all(
      codes.map(async (code) =>
        outputOf(await run(['sh', '-c', `echo ${code}; echo e${code} >&2; exit ${code}`])),
      ),
    );
    const expected = codes.map((code) => ({ code, out: `${code}\n`, err: `e${code}\n` }));
    assert.deepEqual(results, expected);
  });
});

test('deletes a container while processes are being started in it', async () => {
  const config = testConfig(['sleep', '1000']);
  await agent.createContainer({ id: 'hasty', config, terminal: false });
  await agent.startContainer('hasty');
  const started = Promise.allSettled(
    Array.from({ length: 4 }, () => execIn(agent, 'hasty', ['sleep', '1000'])),
  );
  await sleep(30);
  await agent.deleteContainer('hasty');
  for (const result of await started) {
    if (result.status === 'fulfilled') assert.equal((await result.value.exited).signal, 9);
    else assert.ok(isSkiffError(result.reason));
  }
  assert.ok((await agent.ping()) > 0);
});

test('tells signals from exit codes', async () => {
  await inContainer(agent, 'signals', async (run) => {
    for (const signal of [1, 6, 9, 15, 34]) {
      const process = await run(['sleep', '1000']);
      await process.signal(signal);
      const { code, signal: by } = await process.exited;
      assert.deepEqual({ code, by }, { code: 128 + signal, by: signal });
      await assert.rejects(process.signal(9), (error) => isSkiffError(error, 'NOT_FOUND'));
      await process.release();
    }
    const all = await run(['sleep', '1000']);
    await agent.signalContainer('signals', 9, true);
    assert.equal((await all.exited).signal, 9);
  });
});

test('lineage 15: carries 100 MB through a process byte for byte, then the end', async () => {
  await inContainer(agent, 'bulk', async (run) => {
    const process = await run(['cat']);
    const block = randomBytes(1_000_000);
    const [sent, received] = [createHash('sha256'), createHash('sha256')];
    const source = Readable.from(
      (function* () {
        for (let i = 0; i < 100; i++) {
          block.writeUInt32BE(i, 0);
          const copy = Buffer.from(block);
          sent.update(copy);
          yield copy;
        }
      })(),
    );
    source.pipe(process.stdin);
    let bytes = 0;
    for await (const chunk of process.stdout as AsyncIterable<Buffer>) {
      bytes += chunk.length;
      received.update(chunk);
    }
    assert.equal(bytes, 100_000_000);
    assert.equal(received.digest('hex'), sent.digest('hex'));
    assert.equal((await process.exited).code, 0);
    assert.deepEqual(process.positions(), { stdin: 100_000_000, stdout: 100_000_000, stderr: 0 });
    await process.release();
  });
});

test('ends input by itself, and forgets what nobody reads', async () => {
  await inContainer(agent, 'half', async (run) => {
    const half = await run(['sh', '-c', 'cat; echo end']);
    half.stdin.end('some');
    assert.deepEqual(await outputOf(half), { code: 0, out: 'someend\n', err: '' });
    const deaf = await run(['true']);
    await deaf.exited;
    // The pipe has no reader: that is no error of ours.
    const closed = new Promise((resolve) => deaf.stdin.once('close', resolve));
    deaf.stdin.write(Buffer.alloc(200_000));
    await closed;
    await deaf.release();
    const none = await agent.exec({
      containerId: 'half',
      process: JSON.stringify(testProcess(['cat'])),
      terminal: false,
      noInput: true,
    });
    assert.deepEqual(await outputOf(none), { code: 0, out: '', err: '' });
  });
});

test('a reader that does not read holds up its own process only', async () => {
  await inContainer(agent, 'slow', async (run) => {
    const slow = await run(['sh', '-c', 'yes | head -c 3000000; echo done >&2']);
    let done = false;
    slow.stderr.once('data', () => {
      done = true;
    });
    for (let i = 0; i < 3; i++) assert.equal((await outputOf(await run(['echo', String(i)]))).out, `${i}\n`);
    assert.equal(done, false, 'the process waits for its reader');
    assert.ok((await agent.ping()) < 2000);
    let bytes = 0;
    for await (const chunk of slow.stdout as AsyncIterable<Buffer>) bytes += chunk.length;
    assert.equal(bytes, 3_000_000);
    await slow.exited;
    await slow.release();
    // Destroying a stream is to the writer as a closed pipe.
    const cut = await run(['yes']);
    cut.stdout.destroy();
    assert.equal((await cut.exited).code, 141);
    await cut.release();
  });
});

test('gives terminals, with their sizes', async () => {
  const config = testConfig(['sh', '-c', 'stty size; read x; stty size; echo "got $x"; exit 3'], {
    terminal: true,
  });
  const size = { columns: 91, rows: 17 };
  const main = await agent.createContainer({ id: 'tty', config, terminal: true, size });
  let seen = '';
  main.stdout.on('data', (chunk: Buffer) => {
    seen += chunk.toString();
  });
  const until = async (text: string) => {
    for (let i = 0; i < 500 && !seen.includes(text); i++) await sleep(10);
    assert.ok(seen.includes(text), `${JSON.stringify(text)} in ${JSON.stringify(seen)}`);
  };
  await agent.startContainer('tty');
  await until('17 91');
  await main.resize({ columns: 120, rows: 40 });
  main.stdin.write('hello\n');
  await until('40 120');
  await until('got hello');
  assert.equal((await main.exited).code, 3);
  assert.equal(await textOf(main.stderr), '');
  await agent.deleteContainer('tty');
});

test('a new host finds containers, exit codes and every byte of output', async () => {
  const id = 'again';
  const counter =
    'i=0; while [ $i -lt 20000 ]; do echo line $i; i=$((i+1)); done; read x; echo "x=$x"; exit 9';
  const config = testConfig(['sh', '-c', counter]);
  const main = await agent.createContainer({ id, config, terminal: false });
  const gone = await agent.createContainer({ id: 'gone', config: testConfig(['true']), terminal: false });
  await agent.startContainer(id);
  let text = '';
  main.confirm('stdout', 0);
  // A first host takes some, confirms less, and goes.
  for await (const chunk of main.stdout.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
    text += chunk.toString('latin1');
    main.confirm('stdout', text.length - 10);
    if (text.length > 30_000) break;
  }
  agent = await vm.reconnect();
  await assert.rejects(main.exited, (error) => isSkiffError(error, 'CANCELLED'));
  assert.deepEqual(agent.hello.containers.map((container) => [container.id, container.status]).sort(), [
    ['again', 'running'],
    ['gone', 'created'],
  ]);
  await agent.startContainer('gone');
  const [state] = agent.hello.processes.filter(({ containerId }) => containerId === id);
  assert.ok(state !== undefined && state.handle === main.handle);
  assert.throws(
    () => agent.attach(main.handle, { stdout: state.stdoutFrom - 1 }),
    (error) => isSkiffError(error, 'OUT_OF_RANGE'),
  );
  const found = agent.attach(main.handle, { stdout: text.length });
  found.stdin.end('42\n');
  for await (const chunk of found.stdout as AsyncIterable<Buffer>) text += chunk.toString('latin1');
  const lines = Array.from({ length: 20_000 }, (_, i) => `line ${i}\n`).join('');
  assert.ok(text === `${lines}x=42\n`, `${text.length} bytes, ending in ${text.slice(-50)}`);
  assert.equal((await found.exited).code, 9);
  // What ended while nobody was there is told to the next.
  agent = await vm.reconnect();
  const exits = new Map(agent.hello.processes.map(({ handle, exit }) => [handle, exit?.code]));
  assert.deepEqual([exits.get(main.handle), exits.get(gone.handle), exits.size], [9, 0, 2]);
  assert.equal((await agent.attach(gone.handle).exited).code, 0);
  await agent.deleteContainer(id);
  await agent.deleteContainer('gone');
});

test('garbage from a host, and hosts that break off, leave the guest as it was', async () => {
  await agent.createContainer({ id: 'calm', config: testConfig(['sleep', '1000']), terminal: false });
  agent.close();
  for (let round = 0; round < 8; round++) {
    const socket = connect({ path: vm.socketPath });
    const size = [1, 13, 4096, 70_000, 300_000][round % 5] ?? 1;
    const bytes = round % 2 === 0 ? randomBytes(size) : unfinishedCall(size);
    await new Promise((resolve) => socket.write(bytes, resolve));
    await sleep(20);
    socket.destroy();
  }
  agent = await vm.reconnect();
  assert.deepEqual(
    agent.hello.containers.map(({ id }) => id),
    ['calm'],
  );
  await agent.deleteContainer('calm');
});

/** A frame that says it is longer than what comes of it. */
function unfinishedCall(size: number): Buffer {
  const bytes = randomBytes(Math.max(13, Math.min(size, 200_000)));
  bytes.set([0xa5, 1, 0, 0, 0, 0, 0, 1, 0, 4, 0, 0], 0);
  return bytes;
}
