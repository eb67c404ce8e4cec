/** Everything the runtime knows of one pod: its sandboxes and containers in full. */

import type { Container, ContainerStatus, PodSandbox, PodSandboxStatus } from '#contracts/cri/runtime_pb.ts';
import { PodSandboxState } from '#contracts/cri/runtime_pb.ts';
import { isSkiffError } from '#foundation/base/errors.ts';
import { readTail } from '#foundation/base/files.ts';
import {
  containerHashAnnotation,
  containerNameLabel,
  messagePathAnnotation,
  messagePolicyAnnotation,
  podUidLabel,
  restartCountAnnotation,
} from './labels.ts';
import { millis, stateOf } from './list.ts';
import { tailOfLog } from './log-tail.ts';
import type { ContainerRecord, RuntimePodStatus, SandboxRecord } from './model.ts';
import type { RuntimeCalls } from './runtime-calls.ts';

/** Bytes of a termination message that are kept (kubelet-facts 3). */
const maxMessageBytes = 4096;
const fallbackLines = 80;
const fallbackBytes = 2048;

/** What is known already and cannot change: containers that have ended, sandboxes in the state they were in. */
export interface Known {
  containers: readonly ContainerRecord[];
  sandboxes: readonly SandboxRecord[];
}

/**
 * Asks the runtime for all of a pod.
 *
 * @param now milliseconds since the epoch when the asking began.
 * @throws SkiffError as the runtime answered; what vanishes between list and status is left out.
 */
export async function queryPod(
  runtime: RuntimeCalls,
  uid: string,
  now: number,
  known: Known = { containers: [], sandboxes: [] },
): Promise<RuntimePodStatus> {
  const labelSelector = { [podUidLabel]: uid };
  const [sandboxList, containerList] = await Promise.all([
    runtime.listPodSandbox({ filter: { labelSelector } }),
    runtime.listContainers({ filter: { labelSelector } }),
  ]);
  // A runtime that ignores the filter must not mix its pods up.
  const items = sandboxList.items.filter(({ metadata }) => metadata?.uid === uid);
  const own = containerList.containers.filter(({ labels }) => labels[podUidLabel] === uid);
  const [sandboxes, containers] = await Promise.all([
    present(items.map((each) => knownSandbox(known, each) ?? sandboxRecord(runtime, each.id))),
    present(own.map((each) => knownExit(known, each.id) ?? containerRecord(runtime, each))),
  ]);
  sandboxes.sort((a, b) => b.createdAt - a.createdAt);
  containers.sort((a, b) => b.createdAt - a.createdAt || b.attempt - a.attempt);
  const meta = items[0]?.metadata;
  const current = sandboxes[0];
  return {
    uid,
    name: meta?.name ?? '',
    namespace: meta?.namespace ?? '',
    ips: current?.ready === true ? current.ips : [],
    sandboxes,
    containers,
    at: now,
  };
}

async function present<T>(items: (T | Promise<T | undefined>)[]): Promise<T[]> {
  const found = await Promise.all(items);
  return found.filter((item) => item !== undefined) as T[];
}

function knownExit({ containers }: Known, id: string): ContainerRecord | undefined {
  return containers.find((record) => record.id === id && record.state === 'exited');
}

/** The addresses of a ready sandbox stay as long as it is ready; one without any may get them yet. */
function knownSandbox({ sandboxes }: Known, { id, state }: PodSandbox): SandboxRecord | undefined {
  const ready = state === PodSandboxState.SANDBOX_READY;
  return sandboxes.find(
    (record) => record.id === id && record.ready === ready && (!ready || record.ips.length > 0),
  );
}

async function sandboxRecord(runtime: RuntimeCalls, id: string): Promise<SandboxRecord | undefined> {
  try {
    const { status } = await runtime.podSandboxStatus({ podSandboxId: id });
    return status === undefined ? undefined : toSandboxRecord(status);
  } catch (error) {
    if (isSkiffError(error, 'NOT_FOUND')) return undefined;
    throw error;
  }
}

/** A sandbox's status in the kubelet's terms. */
export function toSandboxRecord(status: PodSandboxStatus): SandboxRecord {
  const { ip = '', additionalIps = [] } = status.network ?? {};
  return {
    id: status.id,
    attempt: status.metadata?.attempt ?? 0,
    ready: status.state === PodSandboxState.SANDBOX_READY,
    createdAt: millis(status.createdAt),
    ips: [ip, ...additionalIps.map((each) => each.ip)].filter((each) => each !== ''),
    network: status.linux?.namespaces?.options?.network,
    runtimeHandler: status.runtimeHandler,
  };
}

async function containerRecord(
  runtime: RuntimeCalls,
  { id, podSandboxId }: Container,
): Promise<ContainerRecord | undefined> {
  try {
    const { status } = await runtime.containerStatus({ containerId: id });
    if (status === undefined) return undefined;
    const record = toContainerRecord(status, podSandboxId);
    if (record.state === 'exited') record.message = await terminationMessage(record);
    return record;
  } catch (error) {
    if (isSkiffError(error, 'NOT_FOUND')) return undefined;
    throw error;
  }
}

/** A container's status in the kubelet's terms, without its termination message. */
function toContainerRecord(status: ContainerStatus, sandboxId: string): ContainerRecord {
  return {
    id: status.id,
    name: status.labels[containerNameLabel] ?? status.metadata?.name ?? '',
    sandboxId,
    state: stateOf(status.state),
    attempt: status.metadata?.attempt ?? 0,
    createdAt: millis(status.createdAt),
    startedAt: millis(status.startedAt),
    finishedAt: millis(status.finishedAt),
    exitCode: status.exitCode,
    image: status.image?.userSpecifiedImage || status.image?.image || '',
    imageRef: status.imageRef,
    imageId: status.imageId || status.imageRef,
    hash: status.annotations[containerHashAnnotation] ?? '',
    restartCount: Number(status.annotations[restartCountAnnotation] ?? 0),
    reason: status.reason,
    message: status.message,
    logPath: status.logPath,
    mounts: status.mounts,
    resources: status.resources,
    user: status.user,
    stopSignal: status.stopSignal,
    annotations: status.annotations,
  };
}

/** The file the container left, else (if its policy says so, and it failed) the end of its log. */
async function terminationMessage(record: ContainerRecord): Promise<string> {
  const path = record.annotations[messagePathAnnotation];
  const mount = record.mounts.find((each) => path !== undefined && each.containerPath === path);
  const written = mount === undefined ? '' : await messageFile(mount.hostPath);
  if (written !== '') return written;
  const fallback = record.annotations[messagePolicyAnnotation] === 'FallbackToLogsOnError';
  if (fallback && record.exitCode !== 0) return tailOfLog(record.logPath, fallbackLines, fallbackBytes);
  return record.message;
}

async function messageFile(path: string): Promise<string> {
  try {
    const bytes = await readTail(path, maxMessageBytes);
    return bytes.toString();
  } catch {
    return ''; // A message is a courtesy: without its file the status is still right.
  }
}
