/** What a check works with: clients, images, and helpers that clean up after themselves. */
import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { DescMessage, MessageInitShape, MessageShape } from '@bufbuild/protobuf';
import type { CriClient } from '#contracts/cri/client.ts';
import {
  type ContainerConfigSchema,
  ContainerState,
  type ContainerStatus,
  NamespaceMode,
  type PodSandboxConfigSchema,
} from '#contracts/cri/runtime_pb.ts';
import { isSkiffError, messageOf } from '#foundation/base/errors.ts';
import type { TestRegistry } from './images/registry.ts';
import { Skipped } from './rule.ts';

type Fields<S extends DescMessage> = Exclude<MessageInitShape<S>, MessageShape<S>>;

/** Fields of a sandbox's configuration. */
export type PodFields = Fields<typeof PodSandboxConfigSchema>;
/** Fields of a container's configuration. */
export type ContainerFields = Fields<typeof ContainerConfigSchema>;

/** A sandbox made by a check. */
export interface TestPod {
  id: string;
  config: PodFields;
}

/** What all checks of a run share. */
export interface Session {
  cri: CriClient;
  registry: TestRegistry;
  /** References of the test images by name; see `images/test-images.ts`. */
  images: Record<string, string>;
  /** `runtimeName` and `runtimeVersion` of Version. */
  runtime: { name: string; version: string };
  /** The runtime handler that pods get unless a rule names one; empty for the server's default. */
  handler: string;
  /** How many times as long as usual everything may take. */
  patience: number;
}

/** How a command in a container ended. */
export interface ExecResult {
  stdout: string;
  stderr: string;
  exitCode: number;
}

/** What a check gets. */
export interface Context extends Session {
  /** A directory of its own on the host, deleted afterwards. */
  readonly directory: string;
  /** Aborts when the check's time is over. */
  readonly signal: AbortSignal;
  /** A name that no other check uses. */
  unique(prefix: string): string;
  /** Runs a sandbox that is removed afterwards; by default with a network and a log directory of its own. */
  pod(fields?: PodFields, runtimeHandler?: string): Promise<TestPod>;
  /** The configuration that `pod` would use. */
  podConfig(fields?: PodFields): PodFields;
  /** Creates a container of the base image that sleeps, unless told otherwise. */
  create(pod: TestPod, fields?: ContainerFields): Promise<string>;
  /** The configuration that `create` would use. */
  containerConfig(fields?: ContainerFields): ContainerFields;
  /** Creates and starts a container. */
  start(pod: TestPod, fields?: ContainerFields): Promise<string>;
  /** A container that sleeps, in a pod of its own. */
  running(fields?: ContainerFields, podFields?: PodFields): Promise<{ pod: TestPod; id: string }>;
  /** Runs a shell script in a container. */
  sh(containerId: string, script: string): Promise<ExecResult>;
  /** Runs a shell script in a container that must succeed. @returns its output without the last newline. */
  output(containerId: string, script: string): Promise<string>;
  status(containerId: string): Promise<ContainerStatus>;
  /** Waits until a container has ended. */
  exited(containerId: string): Promise<ContainerStatus>;
  /** Runs a container to its end. @returns its status and its log's text, all streams together. */
  runToEnd(fields: ContainerFields, podFields?: PodFields): Promise<{ status: ContainerStatus; log: string }>;
  /** A cgroup parent of its own, as a kubelet gives each pod; removed afterwards. */
  cgroupParent(): string;
  /** Where a container of a pod logs to. */
  logFile(pod: TestPod, name: string): string;
  /** Asks until `check` gives something. @throws what it threw last, when the check's time is over. */
  eventually<T>(what: string, check: () => Promise<T | undefined> | T | undefined): Promise<T>;
  /** Runs at the end of the check, also if it fails. */
  defer(step: () => unknown): void;
  /** Ends the check without a verdict. */
  skip(reason: string): never;
}

/** Makes a check's context. Dispose it when the check is over. */
export function createContext(session: Session, signal: AbortSignal): Context & AsyncDisposable {
  const directory = mkdtempSync('/tmp/skiff-cf-');
  const stack = new AsyncDisposableStack();
  stack.defer(() => rmSync(directory, { recursive: true, force: true }));
  const tag = randomBytes(4).toString('hex');
  let count = 0;
  const unique = (prefix: string) => {
    count += 1;
    return `${prefix}-${tag}-${count}`;
  };
  const base = {
    ...session,
    directory,
    signal,
    unique,
    defer: (step: () => unknown) => stack.defer(async () => void (await step())),
    cgroupParent: () => {
      const path = `/${unique('conformance')}`;
      stack.defer(() => removeCgroups(path)); // Runtimes leave a parent to whoever chose it.
      return path;
    },
    skip: (reason: string): never => {
      throw new Skipped(reason);
    },
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
  const pods = podHelpers(base);
  const containers = containerHelpers({ ...base, ...pods });
  return { ...base, ...pods, ...containers };
}

function removeCgroups(path: string): void {
  const unified = existsSync('/sys/fs/cgroup/cgroup.controllers');
  for (const root of unified ? [''] : readdirSync('/sys/fs/cgroup')) {
    const directory = `/sys/fs/cgroup/${root}${path}`;
    if (existsSync(directory)) rmdirSync(directory);
  }
}

type Base = Session & Pick<Context, 'directory' | 'signal' | 'unique' | 'defer'>;

function podHelpers(base: Base): Pick<Context, 'pod' | 'podConfig' | 'logFile' | 'eventually'> {
  const { runtime } = base.cri;
  const timeoutMs = 60_000 * base.patience;
  const podConfig = (fields: PodFields = {}): PodFields => {
    const logDirectory = join(base.directory, base.unique('logs'));
    mkdirSync(logDirectory);
    const securityContext = fields.linux?.securityContext;
    const namespaceOptions = securityContext?.namespaceOptions as object | undefined;
    return {
      metadata: { name: base.unique('pod'), namespace: 'conformance', uid: base.unique('uid'), attempt: 0 },
      logDirectory,
      ...fields,
      linux: {
        ...(fields.linux as object | undefined),
        securityContext: {
          ...(securityContext as object | undefined),
          namespaceOptions: { pid: NamespaceMode.CONTAINER, ...namespaceOptions },
        },
      },
    };
  };
  return {
    podConfig,
    pod: async (fields = {}, runtimeHandler = base.handler) => {
      const config = podConfig(fields);
      const { podSandboxId: id } = await runtime.runPodSandbox({ config, runtimeHandler }, { timeoutMs });
      base.defer(async () => {
        await unlessAbsent(runtime.stopPodSandbox({ podSandboxId: id }, { timeoutMs }));
        await unlessAbsent(runtime.removePodSandbox({ podSandboxId: id }, { timeoutMs }));
      });
      return { id, config };
    },
    logFile: (pod, name) => join(pod.config.logDirectory ?? '', `${name}.log`),
    eventually: async (what, check) => {
      let last: unknown = new Error('it never did');
      while (!base.signal.aborted) {
        try {
          const found = await check();
          if (found !== undefined && found !== false) return found;
        } catch (error) {
          last = error;
        }
        await sleep(50);
      }
      throw new Error(`Waited in vain for ${what}: ${messageOf(last)}`);
    },
  };
}

/** A check may have removed the sandbox itself. */
async function unlessAbsent(call: Promise<unknown>): Promise<void> {
  try {
    await call;
  } catch (error) {
    if (!isSkiffError(error, 'NOT_FOUND')) throw error;
  }
}

type WithPods = Base & Pick<Context, 'pod' | 'podConfig' | 'logFile' | 'eventually'>;

function containerHelpers(base: WithPods) {
  const { runtime } = base.cri;
  const timeoutMs = 60_000 * base.patience;
  const containerConfig = (fields: ContainerFields = {}): ContainerFields => {
    const name = fields.metadata?.name ?? base.unique('c');
    const securityContext = fields.linux?.securityContext;
    const namespaceOptions = securityContext?.namespaceOptions as object | undefined;
    return {
      metadata: { name, attempt: 0 },
      image: { image: base.images.base ?? '' },
      logPath: `${name}.log`,
      ...fields,
      linux: {
        ...(fields.linux as object | undefined),
        securityContext: {
          ...(securityContext as object | undefined),
          namespaceOptions: { pid: NamespaceMode.CONTAINER, ...namespaceOptions },
        },
      },
    };
  };
  const create = async (pod: TestPod, fields?: ContainerFields) => {
    const request = { podSandboxId: pod.id, config: containerConfig(fields), sandboxConfig: pod.config };
    return (await runtime.createContainer(request, { timeoutMs })).containerId;
  };
  const start = async (pod: TestPod, fields?: ContainerFields) => {
    const containerId = await create(pod, fields);
    await runtime.startContainer({ containerId }, { timeoutMs });
    return containerId;
  };
  const status = async (containerId: string): Promise<ContainerStatus> => {
    const answer = await runtime.containerStatus({ containerId });
    if (answer.status === undefined) throw new Error('ContainerStatus answered without a status');
    return answer.status;
  };
  const timeout = BigInt(Math.ceil(30 * base.patience));
  const sh = async (containerId: string, script: string): Promise<ExecResult> => {
    const answer = await runtime.execSync({ containerId, cmd: ['sh', '-c', script], timeout });
    const text = (bytes: Uint8Array) => Buffer.from(bytes).toString();
    return { stdout: text(answer.stdout), stderr: text(answer.stderr), exitCode: answer.exitCode };
  };
  const exited = (containerId: string) =>
    base.eventually(`the end of container ${containerId}`, async () => {
      const now = await status(containerId);
      return now.state === ContainerState.CONTAINER_EXITED ? now : undefined;
    });
  return {
    containerConfig,
    create,
    start,
    status,
    sh,
    exited,
    running: async (fields?: ContainerFields, podFields?: PodFields) => {
      const pod = await base.pod(podFields);
      return { pod, id: await start(pod, fields) };
    },
    output: async (containerId: string, script: string) => {
      const { stdout, stderr, exitCode } = await sh(containerId, script);
      if (exitCode !== 0) throw new Error(`"${script}" exited with ${exitCode}: ${stdout}${stderr}`);
      return stdout.replace(/\n$/, '');
    },
    runToEnd: async (fields: ContainerFields, podFields?: PodFields) => {
      const pod = await base.pod(podFields);
      const name = fields.metadata?.name ?? base.unique('c');
      const id = await start(pod, { ...fields, metadata: { name, attempt: 0 }, logPath: `${name}.log` });
      const ended = await exited(id);
      const lines = (await settledText(base.logFile(pod, name))).split('\n').filter(Boolean);
      return { status: ended, log: lines.map(logText).join('') };
    },
  };
}

/** Reads a log when it has stopped growing: the CRI does not say that it is complete at the container's end. */
export async function settledText(path: string): Promise<string> {
  let text = '';
  for (let quiet = 0; quiet < 4; quiet += 1) {
    await sleep(50);
    const now = existsSync(path) ? readFileSync(path, 'utf8') : '';
    if (now !== text) quiet = 0;
    text = now;
  }
  return text;
}

/** What a line of a CRI log carries, with its newline unless the line is partial. */
export function logText(line: string): string {
  const [, , tags = '', ...rest] = line.split(' ');
  return rest.join(' ') + (tags.startsWith('P') ? '' : '\n');
}
