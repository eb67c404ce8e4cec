/**
 * A CRI runtime in memory behind a real socket. Its containers run until they are stopped. Tests make it hang, fail,
 * talk nonsense, flood, lose what it had, and die.
 */
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { MessageInitShape } from '@bufbuild/protobuf';
import {
  type ContainerConfig,
  ContainerState,
  type ImageService,
  ImageService as Images,
  type ListContainersResponseSchema,
  type PodSandboxConfig,
  PodSandboxState,
  RuntimeService as Runtime,
  type RuntimeService,
} from '#contracts/cri/runtime_pb.ts';
import { SkiffError } from '#foundation/base/errors.ts';
import { createRpcServer, type Handlers, type RpcServer } from '#foundation/grpc/server.ts';

/** What happens to a call instead of its work: undefined for none. `request` is as it came. */
export type Fault = (call: string, request: object) => 'hang' | SkiffError | undefined;

export interface ScriptedRuntime extends AsyncDisposable {
  /** Asked before every call. */
  fault: Fault;
  /** What is added to lists of containers as it is. */
  nonsense: MessageInitShape<typeof ListContainersResponseSchema>['containers'];
  /** What ExecSync answers. */
  exec: { exitCode: number; stdout: Buffer };
  /** Forgets every sandbox and container, as after a wiped disk. */
  loseAll(): void;
  /** Ends the running containers of a pod, as if they had ended by themselves. */
  end(podName: string): void;
  /** Stops serving; calls under way break. */
  die(): Promise<void>;
  /** Serves again what it had. */
  revive(): Promise<void>;
  /** How many containers were created for a pod since the beginning. */
  created(podName: string): number;
}

interface Sandbox {
  id: string;
  config: PodSandboxConfig;
  state: PodSandboxState;
  createdAt: bigint;
}

interface Container {
  id: string;
  podSandboxId: string;
  config: ContainerConfig;
  state: ContainerState;
  createdAt: bigint;
  startedAt: bigint;
  finishedAt: bigint;
}

interface Content {
  sandboxes: Map<string, Sandbox>;
  containers: Map<string, Container>;
  created: string[];
}

const { CONTAINER_CREATED, CONTAINER_EXITED, CONTAINER_RUNNING } = ContainerState;
const { SANDBOX_NOTREADY, SANDBOX_READY } = PodSandboxState;

/** Serves at a unix socket. */
export async function startScriptedRuntime(socket: string): Promise<ScriptedRuntime> {
  const content: Content = { sandboxes: new Map(), containers: new Map(), created: [] };
  let server: RpcServer | undefined;
  const runtime: ScriptedRuntime = {
    fault: () => undefined,
    nonsense: [],
    exec: { exitCode: 0, stdout: Buffer.alloc(0) },
    loseAll() {
      content.sandboxes.clear();
      content.containers.clear();
    },
    end(podName) {
      for (const container of content.containers.values())
        if (container.config.labels['io.kubernetes.pod.name'] === podName) end(container);
    },
    async die() {
      await server?.close(0);
      server = undefined;
      rmSync(socket, { force: true });
    },
    async revive() {
      server = createRpcServer();
      server.add(Runtime, faulty(runtime, { ...aboutPods(content), ...aboutContainers(content, runtime) }));
      server.add(Images, faulty(runtime, aboutImages()));
      await server.listen(`unix://${socket}`);
    },
    created: (name) => content.created.filter((each) => each === name).length,
    [Symbol.asyncDispose]: () => runtime.die(),
  };
  await runtime.revive();
  return runtime;
}

/** Asks for a fault before each call. */
function faulty<T extends object>(runtime: ScriptedRuntime, handlers: T): T {
  const wrapped = Object.entries(handlers).map(([name, handler]) => [
    name,
    async (request: object, context: { signal: AbortSignal }) => {
      const fault = runtime.fault(name, request);
      if (fault === 'hang')
        await new Promise((_, reject) =>
          context.signal.addEventListener('abort', () => reject(context.signal.reason as Error)),
        );
      if (fault instanceof SkiffError) throw fault;
      return (handler as (request: object) => unknown)(request);
    },
  ]);
  return Object.fromEntries(wrapped) as T;
}

const now = () => BigInt(Date.now()) * 1_000_000n;

function found<T>(map: ReadonlyMap<string, T>, id: string): T {
  const value = map.get(id);
  if (value === undefined) throw new SkiffError('NOT_FOUND', `"${id}" is not here`);
  return value;
}

/** Whether an object has all labels of a filter. */
function selected(
  labels: Record<string, string>,
  filter: { labelSelector?: Record<string, string> } | undefined,
) {
  return Object.entries(filter?.labelSelector ?? {}).every(([name, value]) => labels[name] === value);
}

function aboutPods({ sandboxes, containers }: Content): Handlers<typeof RuntimeService> {
  const conditions = ['RuntimeReady', 'NetworkReady'].map((type) => ({ type, status: true }));
  return {
    version: async () => ({
      version: '0.1.0',
      runtimeName: 'scripted',
      runtimeVersion: '1',
      runtimeApiVersion: 'v1',
    }),
    status: async () => ({ status: { conditions }, runtimeHandlers: [{ name: '' }] }),
    async runPodSandbox({ config }) {
      if (config === undefined) throw new SkiffError('INVALID_ARGUMENT', 'no config');
      const id = `sandbox-${config.metadata?.name}-${config.metadata?.attempt}`;
      sandboxes.set(id, { id, config, state: SANDBOX_READY, createdAt: now() });
      return { podSandboxId: id };
    },
    async stopPodSandbox({ podSandboxId }) {
      const sandbox = sandboxes.get(podSandboxId);
      if (sandbox !== undefined) sandbox.state = SANDBOX_NOTREADY;
      for (const each of containers.values()) if (each.podSandboxId === podSandboxId) end(each);
      return {};
    },
    async removePodSandbox({ podSandboxId }) {
      sandboxes.delete(podSandboxId);
      return {};
    },
    listPodSandbox: async ({ filter }) => ({
      items: [...sandboxes.values()]
        .filter(({ config }) => selected(config.labels, filter))
        .map(({ config: { metadata, labels, annotations }, ...rest }) => ({
          ...rest,
          metadata,
          labels,
          annotations,
        })),
    }),
    async podSandboxStatus({ podSandboxId }) {
      const { config, ...rest } = found(sandboxes, podSandboxId);
      const { metadata, labels, annotations } = config;
      return { status: { ...rest, metadata, labels, annotations, network: { ip: '10.9.8.7' } } };
    },
  };
}

function end(container: Container): void {
  if (container.state !== CONTAINER_RUNNING) return;
  container.state = CONTAINER_EXITED;
  container.finishedAt = now();
}

function aboutContainers(content: Content, runtime: ScriptedRuntime): Handlers<typeof RuntimeService> {
  const { containers, created } = content;
  const listed = ({ id, podSandboxId, config, state, createdAt }: Container) => {
    const { metadata, labels, annotations, image } = config;
    return { id, podSandboxId, metadata, labels, annotations, image, imageRef: 'sha256:1', state, createdAt };
  };
  return {
    async createContainer({ podSandboxId, config }) {
      if (config === undefined) throw new SkiffError('INVALID_ARGUMENT', 'no config');
      const { logDirectory } = found(content.sandboxes, podSandboxId).config;
      writeFileSync(join(logDirectory, config.logPath), '');
      const id = `container-${created.length}`;
      const times = { createdAt: now(), startedAt: 0n, finishedAt: 0n };
      containers.set(id, { id, podSandboxId, config, state: CONTAINER_CREATED, ...times });
      created.push(config.labels['io.kubernetes.pod.name'] ?? '');
      return { containerId: id };
    },
    async startContainer({ containerId }) {
      Object.assign(found(containers, containerId), { state: CONTAINER_RUNNING, startedAt: now() });
      return {};
    },
    async stopContainer({ containerId }) {
      const container = containers.get(containerId);
      if (container !== undefined) end(container);
      return {};
    },
    async removeContainer({ containerId }) {
      containers.delete(containerId);
      return {};
    },
    listContainers: async ({ filter }) => ({
      containers: [
        ...[...containers.values()].filter(({ config }) => selected(config.labels, filter)).map(listed),
        ...(runtime.nonsense ?? []),
      ],
    }),
    async containerStatus({ containerId }) {
      const container = found(containers, containerId);
      const { startedAt, finishedAt } = container;
      return { status: { ...listed(container), startedAt, finishedAt } };
    },
    execSync: async () => runtime.exec,
  };
}

function aboutImages(): Handlers<typeof ImageService> {
  return {
    imageStatus: async () => ({ image: { id: 'sha256:1', size: 1n, uid: { value: 0n } } }),
    listImages: async () => ({ images: [] }),
    imageFsInfo: async () => ({ imageFilesystems: [] }),
  };
}
