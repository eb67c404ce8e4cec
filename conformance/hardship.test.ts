/** Skiff on a machine that is out of something: each call ends in an error that says so, and the next one works. */
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statfsSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { isSkiffError } from '#foundation/base/errors.ts';
import { pathsUnder } from '#foundation/base/paths.ts';
import { removeAllPods } from '../bench/peers/peer.ts';
import { unmountBelow } from '../bench/peers/unmount.ts';
import { buildImage } from './cri/images/build.ts';
import { fails, serverProgram, startMachine } from './small-machine.ts';

test('out of file descriptors at any step: calls say so, and work again when there are some', async (t) => {
  const { cri, pid, pod, create, works } = await startMachine(t);
  await works();
  const held = await pod();
  const soft = /Max open files\s+(\d+)/.exec(readFileSync(`/proc/${pid}/limits`, 'utf8'))?.[1] ?? '1024';
  const told: string[] = [];
  // The lowest free numbers are given out: what is open leaves gaps below the limit.
  for (const spare of [0, 1, 2, 3, 5, 8, 12, 17, 25]) {
    const open = readdirSync(`/proc/${pid}/fd`).length;
    execFileSync('prlimit', ['--pid', `${pid}`, `--nofile=${open + spare}:`]);
    for (const call of [pod, () => create(held), () => cri.images.listImages({})])
      await call().catch((error: unknown) => {
        assert.ok(isSkiffError(error), String(error));
        told.push(`${error.code}: ${error.message}`);
      });
    await cri.runtime.version({});
  }
  execFileSync('prlimit', ['--pid', `${pid}`, `--nofile=${soft}:`]);
  assert.ok(
    told.some((message) => /RESOURCE_EXHAUSTED.*(EMFILE|open files)/.test(message)),
    told.join('\n'),
  );
  await works();
  await removeAllPods(cri);
  assert.deepEqual((await cri.runtime.listPodSandbox({})).items, []);
});

test('a full disk: calls say so, what runs goes on and can be stopped, and all works again with room', async (t) => {
  const { cri, root, registry, pod, create, works } = await startMachine(t);
  const held = await pod();
  const containerId = await create(held);
  await cri.runtime.startContainer({ containerId });
  const { bavail, bsize } = statfsSync(root);
  execFileSync('dd', ['if=/dev/zero', `of=${root}/filler`, 'bs=4096', `count=${(bavail * bsize) / 4096}`], {
    stdio: 'ignore',
  });
  const full = /no space|ENOSPC|full|left on/i;
  assert.match(await fails(pod(), 'RESOURCE_EXHAUSTED', 'INTERNAL'), full);
  assert.match(await fails(create(held), 'RESOURCE_EXHAUSTED', 'INTERNAL'), full);
  const layer = [{ path: 'big', type: 'file' as const, content: Buffer.alloc(1 << 20, 7) }];
  const image = registry.publish('hard/big:1', buildImage([layer], {}));
  const pull = cri.images.pullImage({ image: { image } }, { timeoutMs: 60_000 });
  assert.match(await fails(pull, 'RESOURCE_EXHAUSTED', 'INTERNAL'), full);
  const ran = await cri.runtime
    .execSync({ containerId, cmd: ['echo', 'on'], timeout: 10n })
    .catch((error) => error);
  assert.ok(isSkiffError(ran) || Buffer.from(ran.stdout).toString() === 'on\n');
  // The end of a container need not wait for room.
  await cri.runtime.stopContainer({ containerId, timeout: 0n }, { timeoutMs: 30_000 });
  rmSync(`${root}/filler`);
  await works();
  await cri.runtime.removePodSandbox({ podSandboxId: held }, { timeoutMs: 30_000 });
  await cri.images.pullImage({ image: { image } }, { timeoutMs: 60_000 });
});

test('a folder that became read-only: creating says so, and works again when it can be written to', async (t) => {
  const { root, pod, create, works } = await startMachine(t);
  await works();
  const held = await pod();
  const containers = join(root, 'lib/containers');
  mkdirSync(containers, { recursive: true });
  execFileSync('mount', ['--bind', containers, containers]);
  execFileSync('mount', ['-o', 'remount,bind,ro', containers]);
  assert.match(await fails(create(held), 'FAILED_PRECONDITION', 'INTERNAL'), /read-only|EROFS/i);
  execFileSync('umount', [containers]);
  await works();
});

test('a disk that is read-only from the start keeps the server from starting, and it says why', async (t) => {
  const directory = mkdtempSync('/tmp/skiff-hard-');
  t.after(() => {
    unmountBelow(directory);
    rmSync(directory, { recursive: true });
  });
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=1m,ro', 'tmpfs', directory]);
  const child = spawn(process.execPath, [serverProgram, join(directory, 'root'), directory]);
  let said = '';
  child.stderr.on('data', (chunk) => {
    said += chunk;
  });
  const [code] = await once(child, 'exit');
  assert.notEqual(code, 0);
  assert.match(said, /read-only|EROFS/i);
});

test('bytes that are no HTTP/2 end their own connection only', async (t) => {
  const { root, works } = await startMachine(t);
  const { criSocket } = pathsUnder(root);
  const preface = 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n';
  const settings = Buffer.from('000000040000000000', 'hex');
  for (const bytes of [
    Buffer.from('GET / HTTP/1.1\r\n\r\n'),
    Buffer.alloc(100_000, 0xff),
    Buffer.concat([Buffer.from(preface), settings, Buffer.alloc(50_000, 0xa5)]),
    Buffer.concat([Buffer.from(preface), settings, Buffer.from('ffffff0105000000017f', 'hex')]),
  ]) {
    const socket = connect(criSocket);
    socket.on('error', () => {});
    socket.end(bytes);
    socket.resume();
    await Promise.race([once(socket, 'close'), new Promise((wake) => setTimeout(wake, 2000).unref())]);
    socket.destroy();
  }
  await works();
});
