/** A supervisor with a fake guest, and real shims, for the tests. */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import type { RuntimeSpec } from '#contracts/oci/runtime.ts';
import { Supervisor } from '#contracts/vm/supervisor_pb.ts';
import { openLeanChannel } from '#foundation/grpc/lean-client.ts';
import type { SupervisorClient } from '#services/vm-runtime/command-line/context.ts';
import { makePod, type PodWish } from '#services/vm-runtime/command-line/pod.ts';
import { shimProgram } from '#services/vm-runtime/shim/build.ts';
import type { SupervisorDeps } from '#services/vm-runtime/supervisor/core.ts';
import { containerDirectory, type PodPaths } from '#services/vm-runtime/supervisor/paths.ts';
import { loadRecord, type PodConfig } from '#services/vm-runtime/supervisor/records.ts';
import { type RunningSupervisor, startSupervisor } from '#services/vm-runtime/supervisor/supervisor.ts';
import { leakCheck } from '../leaks.ts';
import { type FakeGuest, fakeGuest } from './fake-guest.ts';

/** Where tests keep what is built once. */
export const testCache = '/var/cache/skiff/vm';

/** A container under test. */
export interface TestContainer {
  id: string;
  shim: ChildProcess;
  bundle: string;
  stdout(): string;
  stderr(): string;
  /** The shim's exit code; 128 + signal number. */
  exited: Promise<number>;
}

/** A pod under test. */
export interface TestPod {
  root: string;
  pod: PodPaths;
  guest: FakeGuest;
  client: SupervisorClient;
  supervisor: RunningSupervisor;
  said: string[];
  /** Resolves when the supervisor has nothing left to do. */
  over: Promise<void>;
  /** Starts a shim and creates a container. */
  create(id: string, args: string[], change?: (spec: RuntimeSpec) => void): Promise<TestContainer>;
  /** Create and start. */
  run(id: string, args: string[], change?: (spec: RuntimeSpec) => void): Promise<TestContainer>;
  /** Starts a shim for a command. */
  attach(id: string, exec: string): TestContainer;
  /** Ends the supervisor as SIGKILL would, but for its process, and starts another one. */
  restart(): Promise<void>;
  bundle(id: string, args: string[], change?: (spec: RuntimeSpec) => void): string;
}

/** Opens a pod; all that is left of it is an error of the test. */
export async function openTestPod(
  t: TestContext,
  wish: Partial<PodWish> = {},
  deps: Partial<SupervisorDeps> = {},
): Promise<TestPod> {
  const root = mkdtempSync('/tmp/skiff-vs-');
  const leaks = leakCheck(root);
  const guest = fakeGuest();
  const pod = makePod(root, { ...defaultWish, ...wish });
  const config = loadRecord<PodConfig>(pod.config);
  if (config === undefined) throw new Error('no pod was made');
  const said: string[] = [];
  const over = Promise.withResolvers<void>();
  const program = await shimProgram(testCache);
  const begin = () =>
    startSupervisor({
      paths: pod,
      config: structuredClone(config),
      factory: guest.factory,
      say: (message, fields) => void said.push(`${message} ${JSON.stringify(fields ?? {})}`),
      onOver: () => over.resolve(),
      ...deps,
    });
  let supervisor = await begin();
  let channel = openLeanChannel(pod.socket);
  const shims: ChildProcess[] = [];
  const attach = (id: string, exec: string) => {
    const container = shimOf(program, pod, id, exec);
    shims.push(container.shim);
    return container;
  };
  const self: TestPod = {
    root,
    pod,
    guest,
    client: channel.client(Supervisor),
    supervisor,
    said,
    over: over.promise,
    attach,
    bundle: (id, args, change) => makeBundle(root, id, args, change),
    async create(id, args, change) {
      const bundle = makeBundle(root, id, args, change);
      mkdirSync(containerDirectory(root, id), { recursive: true });
      const container = { ...attach(id, '-'), bundle };
      await self.client.createContainer({ id, bundle, shimPid: container.shim.pid ?? 0 });
      return container;
    },
    async run(id, args, change) {
      const container = await self.create(id, args, change);
      await self.client.startContainer({ id });
      return container;
    },
    async restart() {
      channel.close();
      await supervisor.close();
      supervisor = await begin();
      channel = openLeanChannel(pod.socket);
      self.client = channel.client(Supervisor);
      self.supervisor = supervisor;
    },
  };
  t.after(async () => {
    await self.client.shutdown({}).catch(() => {});
    channel.close();
    await supervisor.close();
    for (const shim of shims) shim.kill('SIGKILL');
    rmSync(root, { recursive: true, force: true });
    await leaks.assertClean();
  });
  return self;
}

const defaultWish: PodWish = {
  id: 'pod',
  hostname: 'web',
  vcpus: 1,
  memoryBytes: 256 * 1024 * 1024,
  sysctls: {},
  sharedPid: false,
  endsWithLast: false,
  deferred: false,
};

function makeBundle(root: string, id: string, args: string[], change?: (spec: RuntimeSpec) => void): string {
  const bundle = join(root, 'bundles', id);
  mkdirSync(join(bundle, 'rootfs'), { recursive: true });
  const spec = testSpec(args);
  change?.(spec);
  writeFileSync(join(bundle, 'config.json'), JSON.stringify(spec));
  return bundle;
}

/** The smallest config.json that a VM takes. */
export function testSpec(args: string[]): RuntimeSpec {
  return {
    ociVersion: '1.0.2',
    process: { user: { uid: 0, gid: 0 }, args, cwd: '/', env: ['PATH=/bin:/usr/bin'] },
    root: { path: 'rootfs' },
    mounts: [{ destination: '/proc', type: 'proc', source: 'proc' }],
    linux: {
      namespaces: [{ type: 'pid' }, { type: 'mount' }, { type: 'ipc' }, { type: 'uts' }, { type: 'network' }],
    },
  };
}

function shimOf(program: string, pod: PodPaths, id: string, exec: string): TestContainer {
  const shim = spawn(program, [pod.directory, id, exec], { stdio: 'pipe' });
  const chunks = { stdout: '', stderr: '' };
  shim.stdout.on('data', (chunk: Buffer) => {
    chunks.stdout += chunk.toString('latin1');
  });
  shim.stderr.on('data', (chunk: Buffer) => {
    chunks.stderr += chunk.toString('latin1');
  });
  shim.stdin.on('error', () => {});
  const numbers: Record<string, number> = { SIGKILL: 9, SIGTERM: 15, SIGSEGV: 11 };
  const exited = new Promise<number>((resolve) =>
    shim.once('close', (code, signal) => resolve(code ?? 128 + (numbers[signal ?? ''] ?? 0))),
  );
  return { id, shim, bundle: '', stdout: () => chunks.stdout, stderr: () => chunks.stderr, exited };
}
