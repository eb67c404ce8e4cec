/** A CRI server whose pods are VMs unless they need the host, for tests: a root of its own, an image with busybox. */
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { type CriClient, connectCri } from '#contracts/cri/client.ts';
import { ContainerState, type ContainerStatus } from '#contracts/cri/runtime_pb.ts';
import { type Paths, pathsUnder } from '#foundation/base/paths.ts';
import type { CriServerConfig } from '#services/cri-server/server.ts';
import { startRegistry } from '../../conformance/cri/images/registry.ts';
import { testImages } from '../../conformance/cri/images/test-images.ts';
import { leakCheck } from '../leaks.ts';
import { skiffVm } from './oci-stage.ts';

/** The server's. */
const program = fileURLToPath(new URL('cri-process.ts', import.meta.url));

/** For calls that may boot a VM on a machine that is busy with other tests. */
export const patience = { timeoutMs: 200_000 };

/** What a command answered. */
interface Answer {
  code: number;
  out: string;
}

/** The place. */
export interface CriStage {
  paths: Paths;
  image: string;
  /** Where pods log to. */
  logs: string;
  cri(): CriClient;
  /** Runs `skiff-vm` on the server's VMs. */
  vm(...args: string[]): string;
  /** Ends the server and starts another one on the same root. @param vmsAhead as for the stage */
  restart(vmsAhead?: VmsAhead): Promise<void>;
  /** Kills the server, does something while there is none, and starts another one on the same root. */
  crash(meanwhile: () => Promise<void>): Promise<void>;
  /** Creates and starts a container that runs a shell script. @param config of the container, over what is usual. */
  run(podSandboxId: string, pod: object, name: string, script: string, config?: object): Promise<string>;
  exec(containerId: string, script: string): Promise<Answer>;
  /** Waits until a container has ended. */
  ended(containerId: string): Promise<ContainerStatus>;
}

/** What is made ready before pods want it. */
type VmsAhead = NonNullable<CriServerConfig['runtimes']>['vmsAhead'];

/**
 * Starts it; what it leaves on the machine is an error of the test.
 *
 * @param vmsAhead as `cri.vm.factory`; every VM is booted for its pod unless told.
 */
export async function criStage(t: TestContext, vmsAhead?: VmsAhead): Promise<CriStage> {
  const root = mkdtempSync('/tmp/skiff-vc-');
  chmodSync(root, 0o711);
  const leaks = leakCheck(root);
  const paths = pathsUnder(root);
  const logs = join(root, 'logs');
  mkdirSync(logs);
  let server = await openServer(paths, root, vmsAhead);
  const registry = await startRegistry();
  t.after(async () => {
    const { runtime } = server.client;
    const { items } = await runtime.listPodSandbox({});
    for (const { id } of items) await runtime.removePodSandbox({ podSandboxId: id }, patience);
    await server.end('SIGTERM');
    await registry[Symbol.asyncDispose]();
    rmSync(root, { recursive: true });
    await leaks.assertClean(10_000);
  });
  const [[name, built] = ['', undefined]] = Object.entries(testImages());
  if (built === undefined) throw new Error('there is no test image');
  const image = registry.publish(`conformance/${name}:1`, built);
  await server.client.images.pullImage({ image: { image } }, patience);
  const cri = () => server.client;
  return {
    paths,
    image,
    logs,
    cri,
    vm: (...args) =>
      execFileSync(skiffVm, [`--root=${join(paths.run, 'runtimes', 'vm')}`, ...args], { encoding: 'utf8' }),
    async restart(ahead) {
      await server.end('SIGTERM');
      server = await openServer(paths, root, ahead);
    },
    async crash(meanwhile) {
      await server.end('SIGKILL');
      await meanwhile();
      server = await openServer(paths, root, vmsAhead);
    },
    ...containerHelpers(cri, image),
  };
}

/** A server, and a connection to it. */
interface OpenServer {
  client: CriClient;
  /** @param signal SIGKILL leaves it no time for anything. */
  end(signal: 'SIGTERM' | 'SIGKILL'): Promise<void>;
}

async function openServer(paths: Paths, root: string, vmsAhead: VmsAhead): Promise<OpenServer> {
  const ahead = vmsAhead === undefined ? [] : [JSON.stringify(vmsAhead)];
  const child = spawn(process.execPath, [...process.execArgv, program, root, ...ahead], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const exited = once(child, 'exit');
  const first = await Promise.race([once(child.stdout, 'data'), exited]);
  if (String(first[0]) !== 'ready\n') throw new Error(`the CRI server ended with ${String(first[0])}`);
  const client = connectCri(`unix://${paths.criSocket}`);
  return {
    client,
    async end(signal) {
      client.close();
      child.kill(signal);
      await exited;
    },
  };
}

function containerHelpers(cri: () => CriClient, image: string): Pick<CriStage, 'run' | 'exec' | 'ended'> {
  return {
    async run(podSandboxId, sandboxConfig, name, script, more = {}) {
      const config = {
        metadata: { name },
        image: { image },
        command: ['/bin/sh', '-c', script],
        logPath: `${name}.log`,
        ...more,
      };
      const request = { podSandboxId, sandboxConfig, config };
      const { containerId } = await cri().runtime.createContainer(request, patience);
      await cri().runtime.startContainer({ containerId }, patience);
      return containerId;
    },
    async exec(containerId, script) {
      const cmd = ['/bin/sh', '-c', script];
      const answer = await cri().runtime.execSync({ containerId, cmd, timeout: 150n }, patience);
      return { code: answer.exitCode, out: Buffer.from(answer.stdout).toString() };
    },
    async ended(containerId) {
      for (let i = 0; i < 10_000; i += 1) {
        const { status } = await cri().runtime.containerStatus({ containerId });
        if (status?.state === ContainerState.CONTAINER_EXITED) return status;
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
      throw new Error(`${containerId} did not end`);
    },
  };
}

/** A sandbox's configuration. @param linux its part for Linux. */
export function podConfig(stage: CriStage, name: string, linux: object = {}) {
  return {
    metadata: { name, namespace: 'default', uid: `uid-${name}`, attempt: 0 },
    logDirectory: stage.logs,
    linux,
  };
}
