/** Skiff on a machine that is out of something: each call ends in an error that says so, and the next one works. */
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statfsSync,
} from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { type CriClient, connectCri } from '#contracts/cri/client.ts';
import { NamespaceMode } from '#contracts/cri/runtime_pb.ts';
import { isSkiffError } from '#foundation/base/errors.ts';
import { pathsUnder } from '#foundation/base/paths.ts';
import { killContainersBelow } from '../bench/peers/leftovers.ts';
import { type PeerNetwork, writePeerNetwork } from '../bench/peers/network.ts';
import { removeAllPods, waitReady } from '../bench/peers/peer.ts';
import { unmountBelow } from '../bench/peers/unmount.ts';
import { buildImage } from './cri/images/build.ts';
import { startRegistry, type TestRegistry } from './cri/images/registry.ts';
import { testImages } from './cri/images/test-images.ts';

const serverProgram = new URL('../bench/peers/skiff-server.ts', import.meta.url).pathname;

interface Machine {
  cri: CriClient;
  pid: number;
  /** What the server keeps, on a small disk of its own. */
  root: string;
  registry: TestRegistry;
  image: string;
  /** Runs a pod with a container in it that prints, and takes all away. */
  works(): Promise<void>;
  pod(): Promise<string>;
  create(podSandboxId: string): Promise<string>;
}

/** A server whose disk is a small tmpfs. */
async function startMachine(t: TestContext): Promise<Machine> {
  const directory = mkdtempSync('/tmp/skiff-hard-');
  chmodSync(directory, 0o711);
  const network = writePeerNetwork(directory, 'skiff');
  const root = join(directory, 'root');
  mkdirSync(root);
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=48m,mode=711', 'tmpfs', root]);
  const registry = await startRegistry();
  const log = join(directory, 'log');
  const output = openSync(log, 'a');
  const child = spawn(process.execPath, [serverProgram, root, network.configDir], {
    stdio: ['ignore', output, output],
  });
  const { criSocket } = pathsUnder(root);
  const endpoint = `unix://${criSocket}`;
  const cri = connectCri(endpoint);
  t.after(async () => {
    await removeAllPods(cri).catch(() => {});
    cri[Symbol.dispose]();
    child.kill('SIGTERM');
    if (child.exitCode === null) await once(child, 'exit');
    await takeAway(directory, network);
    await registry[Symbol.asyncDispose]();
  });
  await waitReady(endpoint, log, () => child.exitCode === null);
  const image = registry.publish('hard/base:1', testImages().base ?? buildImage([], {}));
  await cri.images.pullImage({ image: { image } }, { timeoutMs: 60_000 });
  return { cri, pid: child.pid ?? 0, root, registry, image, ...helpers(cri, image) };
}

async function takeAway(directory: string, network: PeerNetwork): Promise<void> {
  await killContainersBelow(directory);
  unmountBelow(directory);
  network.remove();
  rmSync(directory, { recursive: true, force: true });
}

function helpers(cri: CriClient, image: string): Pick<Machine, 'works' | 'pod' | 'create'> {
  let count = 0;
  const options = { timeoutMs: 60_000 };
  const linux = { securityContext: { namespaceOptions: { pid: NamespaceMode.CONTAINER } } };
  const pod = async () => {
    const metadata = { name: `pod${count++}`, namespace: 'hard', uid: `u${count}`, attempt: 0 };
    return (await cri.runtime.runPodSandbox({ config: { metadata, linux } }, options)).podSandboxId;
  };
  const create = async (podSandboxId: string) => {
    const config = { metadata: { name: `c${count++}`, attempt: 0 }, image: { image }, linux };
    return (await cri.runtime.createContainer({ podSandboxId, config, sandboxConfig: {} }, options))
      .containerId;
  };
  return {
    pod,
    create,
    async works() {
      const podSandboxId = await pod();
      const containerId = await create(podSandboxId);
      await cri.runtime.startContainer({ containerId }, options);
      const { stdout } = await cri.runtime.execSync({ containerId, cmd: ['echo', 'fine'], timeout: 10n });
      assert.equal(Buffer.from(stdout).toString(), 'fine\n');
      await cri.runtime.stopPodSandbox({ podSandboxId }, options);
      await cri.runtime.removePodSandbox({ podSandboxId }, options);
    },
  };
}

/** @returns the message of a call that must fail with a code of the CRI's clients. */
async function fails(call: Promise<unknown>, ...codes: string[]): Promise<string> {
  try {
    await call;
  } catch (error) {
    assert.ok(isSkiffError(error) && codes.includes(error.code), `not one of ${codes.join()}: ${error}`);
    return error.message;
  }
  assert.fail('it succeeded');
}

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
