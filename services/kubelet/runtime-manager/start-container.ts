/** Starts one container: image, configuration, create, start, postStart hook. */
import { mkdirSync, readdirSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import type { ContainerConfig } from '#contracts/cri/runtime_pb.ts';
import type { Pod } from '#contracts/kubernetes/types.ts';
import { errnoOf, messageOf } from '#foundation/base/errors.ts';
import type { PresentImage } from '../images/ensure-image.ts';
import type { ContainerKind } from '../pods/containers.ts';
import { nameOf, namespaceOf, uidOf } from '../pods/identity.ts';
import type { AnyContainer, Mounts } from '../ports.ts';
import type { RuntimeManagerDeps } from './deps.ts';
import type { ImageVolumes } from './image-volumes.ts';
import { killContainer } from './kill-container.ts';
import { containerAnnotations, containerLabels, logDirectory } from './labels.ts';
import type { ContainerRecord, RuntimePodStatus } from './model.ts';
import { newestOf } from './model.ts';
import type { SandboxInUse } from './sandbox-in-use.ts';
import { asStartError, StartError } from './start-error.ts';

/** What to start. */
export interface StartRequest {
  pod: Pod;
  container: AnyContainer;
  kind: ContainerKind;
  status: RuntimePodStatus;
  sandbox: SandboxInUse;
  mounts: Mounts;
  imageVolumes: ImageVolumes;
  signal: AbortSignal;
}

/**
 * Starts a container and runs its postStart hook to the end.
 *
 * @returns its CRI id.
 * @throws StartError with the reason to show; the events are recorded already.
 */
export async function startContainer(deps: RuntimeManagerDeps, request: StartRequest): Promise<string> {
  const { pod, container, sandbox, signal } = request;
  const image = await deps.images.ensure({
    pod,
    container: container.name,
    image: container.image ?? '',
    policy: container.imagePullPolicy,
    sandboxConfig: sandbox.config,
    runtimeHandler: sandbox.runtimeHandler,
    signal,
  });
  heedImageVolumes(request);
  const attempt = nextAttempt(deps, request);
  const config = await configure(deps, request, image, attempt);
  const id = await create(deps, request, config);
  await start(deps, request, id);
  deps.actuated.setActuated(uidOf(pod), container.name, container.resources);
  linkLog(deps, request, id, config.logPath);
  await postStart(deps, request, id, config);
  return id;
}

/** A container waits for the images of the volumes that it mounts; others do not. */
function heedImageVolumes({ container, imageVolumes }: StartRequest): void {
  for (const { name } of container.volumeMounts ?? []) {
    const volume = imageVolumes.get(name);
    if (volume === undefined || 'imageRef' in volume) continue;
    throw new StartError(volume.reason, volume.message);
  }
}

/** The count of restarts: one more than the last record, or than the newest log that is left. */
function nextAttempt(deps: RuntimeManagerDeps, { pod, container, status }: StartRequest): number {
  const record = newestOf(status, container.name);
  if (record !== undefined) return record.restartCount + 1;
  const directory = join(logDirectory(deps.podLogs, pod), container.name);
  try {
    const numbers = readdirSync(directory).flatMap((file) => {
      const match = /^(\d+)\.log/.exec(file);
      return match === null ? [] : [Number(match[1])];
    });
    return Math.max(-1, ...numbers) + 1;
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return 0;
    throw new StartError('CreateContainerConfigError', messageOf(error), { cause: error });
  }
}

async function configure(
  deps: RuntimeManagerDeps,
  request: StartRequest,
  image: PresentImage,
  attempt: number,
): Promise<ContainerConfig> {
  const { pod, container, kind, sandbox, mounts, imageVolumes, status } = request;
  const target = 'targetContainerName' in container ? container.targetContainerName : undefined;
  try {
    return await asStartError('CreateContainerConfigError', async () => {
      mkdirSync(join(logDirectory(deps.podLogs, pod), container.name), { recursive: true, mode: 0o755 });
      return deps.builder.containerConfig(pod, container, {
        kind,
        attempt,
        sandboxId: sandbox.id,
        sandboxConfig: sandbox.config,
        imageRef: image.ref,
        image: image.image,
        podIps: sandbox.ips,
        mounts,
        imageVolumes,
        targetContainerId: target ? targetId(status, target) : undefined,
        labels: containerLabels(pod, container),
        annotations: containerAnnotations(pod, container, attempt),
        logPath: `${container.name}/${attempt}.log`,
      });
    });
  } catch (error) {
    throw failed(deps, request, error, `Error: ${messageOf(error)}`);
  }
}

function targetId(status: RuntimePodStatus, name: string): string {
  const target = newestOf(status, name);
  if (target?.state === 'running') return target.id;
  const why = target === undefined ? 'has not been created' : 'is not running';
  throw new StartError('CreateContainerConfigError', `target container "${name}" ${why}`);
}

function failed(deps: RuntimeManagerDeps, request: StartRequest, error: unknown, message: string): unknown {
  const reason = error instanceof StartError ? error.reason : 'RunContainerError';
  deps.counters.containerFailed(request.kind, reason);
  deps.events.pod(request.pod, 'Warning', 'Failed', message, { container: request.container.name });
  return error;
}

async function create(
  deps: RuntimeManagerDeps,
  request: StartRequest,
  config: ContainerConfig,
): Promise<string> {
  const { pod, container, sandbox, signal } = request;
  try {
    return await asStartError('CreateContainerError', async () => {
      const { containerId } = await deps.runtime.createContainer(
        { podSandboxId: sandbox.id, config, sandboxConfig: sandbox.config },
        { signal },
      );
      deps.events.pod(pod, 'Normal', 'Created', 'Container created', { container: container.name });
      return containerId;
    });
  } catch (error) {
    await deps.builder.release(uidOf(pod), container.name);
    throw failed(deps, request, error, `Error: ${messageOf(error)}`);
  }
}

async function start(deps: RuntimeManagerDeps, request: StartRequest, id: string): Promise<void> {
  try {
    await asStartError('RunContainerError', async () => {
      await deps.runtime.startContainer({ containerId: id }, { signal: request.signal });
    });
  } catch (error) {
    throw failed(deps, request, error, `Error: ${messageOf(error)}`);
  }
  deps.counters.containerStarted(request.kind);
  const { pod, container } = request;
  deps.events.pod(pod, 'Normal', 'Started', 'Container started', { container: container.name });
}

/** The name log collectors look for: `/var/log/containers/NAME_NS_CONTAINER-ID.log`, at most 255 bytes. */
function linkLog(
  deps: RuntimeManagerDeps,
  { pod, container }: StartRequest,
  id: string,
  logPath: string,
): void {
  const tail = `-${id}.log`;
  const head = `${nameOf(pod)}_${namespaceOf(pod)}_${container.name}`.slice(0, 255 - tail.length);
  try {
    mkdirSync(deps.containerLogs, { recursive: true, mode: 0o755 });
    symlinkSync(join(logDirectory(deps.podLogs, pod), logPath), join(deps.containerLogs, `${head}${tail}`));
  } catch (error) {
    // Logs are readable without their second name.
    deps.logger.warn(
      { pod: uidOf(pod), container: id, error: messageOf(error) },
      'Cannot link container log',
    );
  }
}

async function postStart(
  deps: RuntimeManagerDeps,
  request: StartRequest,
  id: string,
  config: ContainerConfig,
): Promise<void> {
  const { pod, container, sandbox, signal } = request;
  if (!container.lifecycle?.postStart) return;
  try {
    await deps.hooks.postStart({ pod, container, containerId: id, podIps: sandbox.ips }, signal);
  } catch (error) {
    deps.events.pod(pod, 'Warning', 'FailedPostStartHook', `PostStartHook failed`, {
      container: container.name,
    });
    const record = justStarted(id, container.name, sandbox.id, config);
    const message = 'FailedPostStartHook';
    const kill = { pod, record, container, podIps: sandbox.ips, message, reason: 'other' as const, signal };
    await killContainer(deps, kill).catch((reason: unknown) => {
      deps.logger.error(
        { pod: uidOf(pod), container: id, error: messageOf(reason) },
        'Cannot stop container',
      );
    });
    throw new StartError('PostStartHookError', messageOf(error), { cause: error });
  }
}

/** A container that runs since a moment, before the runtime was asked about it. */
function justStarted(id: string, name: string, sandboxId: string, config: ContainerConfig): ContainerRecord {
  return {
    id,
    name,
    sandboxId,
    state: 'running',
    attempt: config.metadata?.attempt ?? 0,
    createdAt: 0,
    startedAt: 0,
    finishedAt: 0,
    exitCode: 0,
    image: config.image?.image ?? '',
    imageRef: '',
    imageId: '',
    hash: '',
    restartCount: config.metadata?.attempt ?? 0,
    reason: '',
    message: '',
    logPath: config.logPath,
    mounts: [],
    resources: undefined,
    user: undefined,
    stopSignal: 0,
    annotations: config.annotations,
  };
}
