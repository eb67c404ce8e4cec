/**
 * A containers part on a temporary root for tests: a fake image store whose roots are copies of busybox, fake
 * sandboxes with real pinned namespaces, and the real conmon and OCI runtime.
 */
import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { create, type MessageInitShape } from '@bufbuild/protobuf';
import {
  type ContainerConfigSchema,
  CreateContainerRequestSchema,
  PodSandboxConfigSchema,
} from '#contracts/cri/runtime_pb.ts';
import type { ImageConfig } from '#contracts/oci/image.ts';
import type { RuntimeProbe } from '#contracts/oci/runtime-driver.ts';
import { silentLogger } from '#foundation/base/log.ts';
import { pathsUnder } from '#foundation/base/paths.ts';
import { unmountTree } from '#foundation/linux/mount.ts';
import {
  currentNamespace,
  inNewNamespaces,
  pinNamespace,
  prepareNamespaces,
} from '#foundation/linux/namespaces.ts';
import { createSpawner } from '#foundation/linux/spawn.ts';
import {
  type Containers,
  type ContainersDeps,
  createContainers,
  readHostFacts,
} from '#services/cri-server/containers/index.ts';
import type { ImageSource, LocalImage, SandboxView } from '#services/cri-server/ports.ts';
import { probeRuntimes } from '#services/cri-server/runtimes/probe.ts';
import { runtimeTable } from '#services/cri-server/runtimes/table.ts';
import { openStore, type Store } from '#services/cri-server/store/store.ts';
import { leakCheck } from './leaks.ts';

export const testImageId = `sha256:${'1'.repeat(64)}`;

/** A busybox root. */
export function makeBusyboxRoot(path: string): void {
  for (const directory of ['bin', 'etc', 'tmp', 'proc', 'sys', 'dev', 'data'])
    mkdirSync(join(path, directory), { recursive: true });
  copyFileSync('/bin/busybox', join(path, 'bin/busybox'));
  for (const name of [
    'sh',
    'sleep',
    'cat',
    'echo',
    'true',
    'false',
    'id',
    'ls',
    'env',
    'mount',
    'kill',
    'touch',
    'head',
    'dd',
    'stat',
    'ps',
    'stty',
    'grep',
    'tail',
    'printf',
    'mkdir',
    'readlink',
    'sync',
    'yes',
    'rm',
    'wc',
    'md5sum',
    'nc',
    'unshare',
    'mknod',
    'hostname',
    'test',
    'pwd',
    'trap',
    'seq',
    'tr',
    'chmod',
    'tty',
  ])
    symlinkSync('busybox', join(path, 'bin', name));
  writeFileSync(
    join(path, 'etc/passwd'),
    'root:x:0:0:root:/root:/bin/sh\nana:x:1000:1001::/home/ana:/bin/sh\n',
  );
  writeFileSync(join(path, 'etc/group'), 'root:x:0:\nana:x:1001:\nteam:x:2000:ana,bob\n');
}

/** A fake image store: one image, roots by copying. */
function fakeImages(directory: string, config: ImageConfig = {}): ImageSource & { fail?: string } {
  const image: LocalImage = {
    id: testImageId,
    repoTags: ['docker.io/library/busybox:latest'],
    repoDigests: [`docker.io/library/busybox@sha256:${'2'.repeat(64)}`],
    size: 1n,
    config,
    pinned: false,
  };
  const pathOf = (key: string) => join(directory, key.replaceAll('/', '_'));
  const images: ImageSource & { fail?: string } = {
    find: (reference) =>
      reference === 'busybox' || reference === testImageId || image.repoTags.includes(reference)
        ? image
        : undefined,
    async prepareRoot({ key }) {
      if (images.fail !== undefined && key.includes(images.fail)) throw new Error('injected: no root');
      makeBusyboxRoot(pathOf(key));
      return { path: pathOf(key) };
    },
    removeRoot: async (key) => rmSync(pathOf(key), { recursive: true, force: true }),
    rootUsage: async () => ({ bytes: 1234n, inodes: 5n }),
    saveChanges: async (_key, archive) => {
      writeFileSync(archive, '');
      return { deleted: [] };
    },
    layOut: async (archive, target) => {
      mkdirSync(target);
      execFileSync('tar', ['-xf', archive, '-C', target]);
    },
    recoverRoots: async () => {},
  };
  return images;
}

/** A sandbox with namespaces pinned below `directory`. */
function fakeSandbox(
  directory: string,
  id: string,
  config: MessageInitShape<typeof PodSandboxConfigSchema> = {},
): SandboxView {
  const base = join(directory, id.slice(0, 8));
  mkdirSync(join(base, 'logs'), { recursive: true });
  mkdirSync(join(base, 'shm'));
  const pins = { network: join(base, 'net'), ipc: join(base, 'ipc'), uts: join(base, 'uts') };
  inNewNamespaces(['net', 'ipc', 'uts'], () => {
    pinNamespace(currentNamespace('net'), pins.network);
    pinNamespace(currentNamespace('ipc'), pins.ipc);
    pinNamespace(currentNamespace('uts'), pins.uts);
  });
  for (const name of ['hostname', 'resolv', 'hosts']) writeFileSync(join(base, name), `${name}\n`);
  return {
    id,
    config: Object.assign(
      create(PodSandboxConfigSchema, {
        metadata: { name: 'pod', uid: 'uid', namespace: 'default', attempt: 0 },
        logDirectory: join(base, 'logs'),
      }),
      create(PodSandboxConfigSchema, config).linux === undefined
        ? {}
        : { linux: create(PodSandboxConfigSchema, config).linux },
    ),
    ready: true,
    runtimeHandler: 'runc',
    namespaces: pins,
    files: {
      hostname: join(base, 'hostname'),
      hosts: join(base, 'hosts'),
      resolvConf: join(base, 'resolv'),
      shm: join(base, 'shm'),
    },
    ips: [],
    cgroupParent: '',
    createdAt: 1n,
  };
}

/** A containers part with one sandbox, and short forms of its calls. */
export interface Fixture {
  root: string;
  containers: Containers;
  sandbox: SandboxView;
  store: Store;
  images: ReturnType<typeof fakeImages>;
  events: string[];
  /** Stops using the part without cleaning up, as a crash does, and opens another on the same root. */
  reopen(): Promise<Containers>;
  /** Creates a container. */
  create(config?: MessageInitShape<typeof ContainerConfigSchema>, name?: string): Promise<string>;
  start(id: string): Promise<void>;
  /** Creates and starts a container. */
  run(script: string, config?: MessageInitShape<typeof ContainerConfigSchema>): Promise<string>;
  /** Runs a script in a container. */
  exec(
    id: string,
    script: string,
    timeoutSeconds?: number,
  ): Promise<{ exitCode: number; stdout: string; stderr: string }>;
  status(id: string): Promise<{
    state: number;
    exitCode: number;
    reason: string;
    message: string;
    startedAt: bigint;
    finishedAt: bigint;
    logPath: string;
  }>;
  ended(id: string): Promise<void>;
}

export const context = { signal: new AbortController().signal, deadline: Number.POSITIVE_INFINITY };

/** Opens a fixture and cleans up after the test, also when it fails. */
export async function openFixture(
  t: TestContext,
  options: {
    image?: ImageConfig;
    sandbox?: MessageInitShape<typeof PodSandboxConfigSchema>;
    deps?: Partial<ContainersDeps>;
    runtime?: string;
  } = {},
): Promise<Fixture> {
  await prepareNamespaces();
  const root = mkdtempSync('/tmp/skiff-c-');
  const paths = pathsUnder(root);
  const leaks = leakCheck(root);
  const spawner = createSpawner();
  const monitor = { exits: join(paths.run, 'exits'), attach: join(paths.run, 'attach') };
  const probes = options.deps?.runtimes === undefined ? await probe(spawner, monitor, paths) : [];
  const name = options.runtime ?? process.env.SKIFF_TEST_RUNTIME ?? runtimeTable(probes).defaultHandler();
  const events: string[] = [];
  const images = fakeImages(join(root, 'roots'), options.image);
  const sandbox = {
    ...fakeSandbox(join(root, 'pods'), 'a'.repeat(64), options.sandbox),
    runtimeHandler: name,
  };
  let store = openStore(join(paths.lib, 'store.db'));
  const open = () =>
    createContainers({
      store,
      paths,
      images,
      sandboxes: { find: (id) => (sandbox.id.startsWith(id) ? sandbox : undefined), list: () => [sandbox] },
      runtimes: runtimeTable(probes),
      spawner,
      host: readHostFacts(),
      log: silentLogger,
      onEvent: (event, container) => events.push(`${event} ${container.config.metadata?.name}`),
      pollMs: 200,
      ...options.deps,
    });
  let containers = open();
  let count = 0;
  t.after(async () => {
    await containers.ofSandboxes.removeAll(sandbox.id, context.signal);
    containers[Symbol.dispose]();
    store.close();
    spawner[Symbol.dispose]();
    unmountTree(root);
    rmSync(root, { recursive: true, force: true });
    await leaks.assertClean();
  });
  const fixture: Fixture = {
    root,
    get containers() {
      return containers;
    },
    sandbox,
    get store() {
      return store;
    },
    images,
    events,
    async reopen() {
      containers[Symbol.dispose]();
      store.close();
      store = openStore(join(paths.lib, 'store.db'));
      containers = open();
      await containers.recover();
      return containers;
    },
    async create(config = {}, containerName = `c${count++}`) {
      const request = create(CreateContainerRequestSchema, {
        podSandboxId: sandbox.id,
        config: {
          metadata: { name: containerName, attempt: 0 },
          image: { image: 'busybox' },
          logPath: `${containerName}.log`,
          ...config,
          linux: {
            ...config.linux,
            securityContext: { namespaceOptions: { pid: 1 }, ...config.linux?.securityContext },
          },
        } as MessageInitShape<typeof ContainerConfigSchema>,
      });
      const answer = await containers.handlers.createContainer?.(request, context);
      return (answer as { containerId: string }).containerId;
    },
    async start(id) {
      await containers.handlers.startContainer?.({ containerId: id } as never, context);
    },
    async run(script, config = {}) {
      const id = await fixture.create({ command: ['sh', '-c', script], ...config });
      await containers.handlers.startContainer?.({ containerId: id } as never, context);
      return id;
    },
    async exec(id, script, timeoutSeconds = 10) {
      const answer = await containers.handlers.execSync?.(
        { containerId: id, cmd: ['sh', '-c', script], timeout: BigInt(timeoutSeconds) } as never,
        context,
      );
      const { exitCode, stdout, stderr } = answer as { exitCode: number; stdout: Buffer; stderr: Buffer };
      return { exitCode, stdout: stdout.toString(), stderr: stderr.toString() };
    },
    async status(id) {
      const answer = await containers.handlers.containerStatus?.(
        { containerId: id, verbose: false } as never,
        context,
      );
      return (answer as { status: never }).status;
    },
    ended: (id) => containers.core.table.get(id).ended.promise,
  };
  return fixture;
}

function probe(
  spawner: ReturnType<typeof createSpawner>,
  paths: { exits: string; attach: string },
  root: { run: string; tag: string },
): Promise<RuntimeProbe[]> {
  const stateRoot = join(root.run, 'runtimes');
  return probeRuntimes({
    spawner,
    paths,
    stateRoot,
    tag: root.tag,
    candidates: [{ name: 'crun' }, { name: 'runc' }],
  });
}
