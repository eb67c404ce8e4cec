/** The agent and its client, with a real guest. One VM serves the file; each test has containers of its own. */
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { connect } from 'node:net';
import { Readable } from 'node:stream';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { isSkiffError } from '#foundation/base/errors.ts';
import { bootGuest, type GuestVm, nicMac, testConfig, testProcess, textOf } from '../testing/guest-vm.ts';
import type { AgentClient, AgentEvent, GuestProcess } from './types.ts';

let vm: GuestVm;
let agent: AgentClient;
before(async () => {
  vm = await bootGuest();
  agent = vm.agent;
});
after(() => vm?.stop());

/** Runs `work` beside a container that does nothing. */
async function inContainer(id: string, work: (run: typeof exec) => Promise<void>, wish = {}): Promise<void> {
  const config = testConfig(['sleep', '1000'], wish);
  await agent.createContainer({ id, config, terminal: false, noInput: true });
  await agent.startContainer(id);
  const exec_ = (args: string[], options = {}) => exec(args, { id, ...options });
  try {
    await work(exec_);
  } finally {
    await agent.deleteContainer(id);
  }
}

function exec(args: string[], { id = '' } = {}): Promise<GuestProcess> {
  const process = JSON.stringify(testProcess(args));
  // 50 at once take a while on a busy machine under emulation.
  return agent.exec({ containerId: id, process, terminal: false }, { deadlineMs: 120_000 });
}

async function outputOf(process: GuestProcess): Promise<{ code: number; out: string; err: string }> {
  const [out, err, { code }] = await Promise.all([
    textOf(process.stdout),
    textOf(process.stderr),
    process.exited,
  ]);
  await process.release();
  return { code, out, err };
}

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
  await inContainer('many', async (run) => {
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
    Array.from({ length: 4 }, () => exec(['sleep', '1000'], { id: 'hasty' })),
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
  await inContainer('signals', async (run) => {
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

test('carries 100 MB through a process byte for byte, then the end', async () => {
  await inContainer('bulk', async (run) => {
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
  await inContainer('half', async (run) => {
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
  await inContainer('slow', async (run) => {
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

test('freezes, limits, counts, lists', async () => {
  const memory = { limit: 32 * 1024 * 1024 };
  const wish = { resources: { memory, pids: { limit: 50 } } };
  await inContainer(
    'figures',
    async (run) => {
      assert.equal((await agent.containerStats('figures')).memoryLimitBytes, memory.limit);
      await agent.updateContainer('figures', JSON.stringify({ memory: { limit: 48 * 1024 * 1024 } }));
      const stats = await agent.containerStats('figures');
      assert.equal(stats.memoryLimitBytes, 48 * 1024 * 1024);
      assert.equal(stats.pidsLimit, 50);
      assert.ok(stats.cpuUsageUsec > 0 && stats.memoryUsageBytes > 0 && stats.pids === 1);
      const [process] = await agent.listProcesses('figures');
      assert.deepEqual(process?.command, ['sleep', '1000']);
      const beat = await run(['sh', '-c', 'while :; do echo x; sleep 0.02; done']);
      let beats = 0;
      beat.stdout.on('data', () => beats++);
      while (beats === 0) await sleep(5);
      await agent.pauseContainer('figures');
      await assert.rejects(agent.pauseContainer('figures'), (error) =>
        isSkiffError(error, 'FAILED_PRECONDITION'),
      );
      const frozen = beats;
      await sleep(200);
      assert.equal(beats, frozen);
      await agent.resumeContainer('figures');
      while (beats === frozen) await sleep(5);
    },
    wish,
  );
  const guest = await agent.guestStats();
  assert.ok(guest.memoryTotalBytes > 200e6 && guest.cpuUsageUsec > 0 && guest.uptimeMs > 0);
});

test('tells when the kernel kills for want of memory', async () => {
  const events: AgentEvent[] = [];
  const off = agent.onEvent((event) => events.push(event));
  const config = testConfig(['dd', 'if=/dev/zero', 'of=/dev/null', 'bs=64M', 'count=1'], {
    resources: { memory: { limit: 16 * 1024 * 1024, swap: 16 * 1024 * 1024 } },
  });
  const main = await agent.createContainer({ id: 'hungry', config, terminal: false });
  await agent.startContainer('hungry');
  await main.exited;
  for (let i = 0; i < 200 && !events.some(({ kind }) => kind === 'oom'); i++) await sleep(10);
  off();
  const oom = events.find((event) => event.kind === 'oom');
  assert.equal(oom?.kind === 'oom' && oom.containerId, 'hungry');
  await agent.deleteContainer('hungry');
});

test('connects to ports inside without any tool in the container', async () => {
  await inContainer('server', async (run) => {
    const server = await run(['nc', '-l', '-p', '8080', '-e', 'cat']);
    const dial = async () => {
      for (let i = 0; ; i++) {
        try {
          return await agent.connectTcp(8080);
        } catch (error) {
          if (i === 100) throw error;
          await sleep(20);
        }
      }
    };
    const connection = await dial();
    connection.end('hello over there');
    assert.equal(await textOf(connection), 'hello over there');
    await server.exited;
    await server.release();
    await assert.rejects(agent.connectTcp(8080), (error) => isSkiffError(error, 'UNAVAILABLE'));
  });
});

test('takes names, network, sysctls, time, randomness and files', async () => {
  await agent.configure({
    hostname: 'web-1',
    interfaces: [{ mac: nicMac, name: 'eth0', mtu: 1400, addresses: ['10.9.8.7/24', 'fd09::7/64'] }],
    routes: [
      { destination: '10.77.0.0/16', interface: 'eth0', scope: 253 },
      { destination: '0.0.0.0/0', gateway: '10.9.8.1', interface: 'eth0', mtu: 1300 },
      { destination: '::/0', gateway: 'fd09::1', interface: 'eth0' },
    ],
    sysctls: { 'net.ipv4.ip_unprivileged_port_start': '0', 'net/ipv4/conf/eth0/rp_filter': '2' },
    machineId: '0123456789abcdef0123456789abcdef',
    entropy: randomBytes(64),
    time: 1_900_000_000_000_000_000n,
  });
  await agent.writeFile({ path: '/run/made/here', data: Buffer.from('text'), mode: 0o644, uid: 5, gid: 6 });
  const mounts = [{ destination: '/tmp', type: 'bind', source: '/run/made', options: ['bind'] }];
  await inContainer(
    'net',
    async (run) => {
      const said = async (line: string) => (await outputOf(await run(['sh', '-c', line]))).out.trim();
      assert.equal(await said('hostname'), 'web-1');
      assert.match(
        await said('ip addr show eth0'),
        /mtu 1400[\s\S]*inet 10\.9\.8\.7\/24[\s\S]*inet6 fd09::7\/64/,
      );
      assert.match(
        await said('ip route'),
        /default via 10\.9\.8\.1[\s\S]*10\.77\.0\.0\/16 dev eth0 scope link/,
      );
      assert.match(await said('ip -6 route'), /default via fd09::1/);
      assert.equal(await said('cat /proc/sys/net/ipv4/ip_unprivileged_port_start'), '0');
      assert.equal(await said('date +%Y'), '2030');
      assert.equal(await said('cat /tmp/here; stat -c " %a %u %g" /tmp/here'), 'text 644 5 6');
    },
    { mounts },
  );
  await assert.rejects(
    agent.configure({ interfaces: [{ mac: '02:00:00:00:00:99', name: 'eth9', addresses: [] }] }),
    /no interface has the hardware address of eth9/,
  );
  await assert.rejects(agent.configure({ sysctls: { 'no.such': '1' } }), (error) =>
    isSkiffError(error, 'NOT_FOUND'),
  );
  await agent.setClock(BigInt(Date.now()) * 1_000_000n, randomBytes(32));
});

test('mounts tmpfs, disks by serial number and overlays; says what is not there', async () => {
  await agent.mount({ type: 'ext4', target: '/run/disk', blockSerial: 'disk0', options: ['ro'] });
  await agent.mount({
    source: 'tmpfs',
    type: 'tmpfs',
    target: '/run/memory',
    options: ['size=1m', 'nosuid'],
  });
  await agent.mount({ source: 'tmpfs', type: 'tmpfs', target: '/run/over' });
  for (const name of ['upper', 'work'])
    await agent.writeFile({ path: `/run/over/${name}/x`, data: Buffer.from('') });
  const layers = ['lowerdir=/run/share/root', 'upperdir=/run/over/upper', 'workdir=/run/over/work'];
  await agent.mount({ source: 'overlay', type: 'overlay', target: '/run/merged', options: layers });
  const bind = (source: string, destination: string) => ({
    source,
    destination,
    type: 'bind',
    options: ['rbind'],
  });
  const wish = { root: '/run/merged', mounts: [bind('/run/disk', '/tmp'), bind('/run/memory', '/sys')] };
  await inContainer(
    'mounts',
    async (run) => {
      const { out } = await outputOf(
        await run(['sh', '-c', 'cd /tmp; ls; touch no; cd /sys; df -k . | tail -n 1']),
      );
      assert.match(out, /busybox[\s\S]*1024/);
      assert.equal((await outputOf(await run(['touch', '/new']))).code, 0);
    },
    wish,
  );
  for (const target of ['/run/merged', '/run/over', '/run/memory', '/run/disk', '/run/never'])
    await agent.unmount(target, { remove: true });
  await assert.rejects(
    agent.mount({ type: 'ext4', target: '/run/disk', blockSerial: 'none', waitMs: 50 }),
    /no disk with the serial number none/,
  );
  await assert.rejects(
    agent.mount({ source: 'no', type: 'virtiofs', target: '/run/no', waitMs: 50 }),
    (error) => isSkiffError(error),
  );
  await agent.dropCaches();
});

test('containers of a pod can share one PID namespace', async () => {
  await agent.configure({ sharedPidNamespace: true });
  const namespaces = [{ type: 'mount' }, { type: 'pid', path: '/run/ns/pid' }];
  await inContainer(
    'one',
    async () => {
      await inContainer(
        'two',
        async (run) => {
          const { out } = await outputOf(await run(['ps', '-o', 'args']));
          assert.equal(out.match(/sleep 1000/g)?.length, 2);
          assert.match(out, /pause/);
        },
        { namespaces },
      );
    },
    { namespaces },
  );
});

test('calls have deadlines, and late replies harm nobody', async () => {
  const config = testConfig(['true']);
  const late = agent.createContainer({ id: 'late', config, terminal: false }, { deadlineMs: 1 });
  await assert.rejects(late, (error) => isSkiffError(error, 'DEADLINE_EXCEEDED'));
  const cancelled = agent.ping({ signal: AbortSignal.abort() });
  await assert.rejects(cancelled, (error) => isSkiffError(error, 'CANCELLED'));
  assert.ok((await agent.ping()) > 0);
  for (let i = 0; i < 100; i++) {
    await sleep(20);
    if (
      await agent.deleteContainer('late').then(
        () => true,
        () => false,
      )
    )
      break;
  }
});

test('shuts down with its containers, and the connection says so', async () => {
  const main = await agent.createContainer({
    id: 'last',
    config: testConfig(['sleep', '9']),
    terminal: false,
  });
  await agent.startContainer('last');
  await agent.shutdown();
  assert.equal(await vm.exited, 0);
  assert.ok(isSkiffError(await agent.closed, 'UNAVAILABLE'));
  await assert.rejects(agent.ping(), (error) => isSkiffError(error, 'UNAVAILABLE'));
  await main.exited.catch(() => {});
});
