/** A CRI server of Skiff's on a small disk of its own, for tests that take something away from it. */
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdirSync, mkdtempSync, openSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
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

/** The program of a server: `ROOT CNI_CONFIG_DIRECTORY`. */
export const serverProgram = new URL('../bench/peers/skiff-server.ts', import.meta.url).pathname;

/** The server and what is asked of it. */
export interface Machine {
  cri: CriClient;
  readonly pid: number;
  /** SIGKILL, and another server on the same root. */
  killed(): Promise<void>;
  /** What the server keeps, on a small disk of its own. */
  root: string;
  registry: TestRegistry;
  image: string;
  /** Runs a pod with a container in it that prints, and takes all away. */
  works(): Promise<void>;
  pod(): Promise<string>;
  create(podSandboxId: string): Promise<string>;
}

/** Starts a server whose disk is a small tmpfs. */
export async function startMachine(t: TestContext): Promise<Machine> {
  const directory = mkdtempSync('/tmp/skiff-hard-');
  chmodSync(directory, 0o711);
  const network = writePeerNetwork(directory, 'skiff');
  const root = join(directory, 'root');
  mkdirSync(root);
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=48m,mode=711', 'tmpfs', root]);
  const registry = await startRegistry();
  const log = join(directory, 'log');
  const output = openSync(log, 'a');
  const start = () =>
    spawn(process.execPath, [serverProgram, root, network.configDir], { stdio: ['ignore', output, output] });
  let child = start();
  const endpoint = `unix://${pathsUnder(root).criSocket}`;
  const cri = connectCri(endpoint);
  t.after(async () => {
    await removeAllPods(cri).catch(() => {});
    cri[Symbol.dispose]();
    child.kill('SIGTERM');
    if (child.exitCode === null) await once(child, 'exit');
    await takeAway(directory, network);
    await registry[Symbol.asyncDispose]();
  });
  const ready = () => waitReady(endpoint, log, () => child.exitCode === null);
  await ready();
  const image = registry.publish('hard/base:1', testImages().base ?? buildImage([], {}));
  await cri.images.pullImage({ image: { image } }, { timeoutMs: 60_000 });
  const killed = async () => {
    const ended = once(child, 'exit');
    child.kill('SIGKILL');
    await ended;
    child = start();
    await ready();
  };
  return {
    cri,
    get pid() {
      return child.pid ?? 0;
    },
    killed,
    root,
    registry,
    image,
    ...helpers(cri, image),
  };
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
export async function fails(call: Promise<unknown>, ...codes: string[]): Promise<string> {
  try {
    await call;
  } catch (error) {
    assert.ok(isSkiffError(error) && codes.includes(error.code), `not one of ${codes.join()}: ${error}`);
    return error.message;
  }
  assert.fail('it succeeded');
}
