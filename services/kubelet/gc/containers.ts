/**
 * Removes what pods left in the runtime: dead containers but the newest of each name, sandboxes that nobody uses, and
 * logs whose pods are gone. Nothing is removed before all sources of pods were seen.
 */
import { lstat, readdir, readlink, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { CriClient } from '#contracts/cri/client.ts';
import {
  type Container,
  ContainerState,
  type PodSandbox,
  PodSandboxState,
} from '#contracts/cri/runtime_pb.ts';
import { errnoOf, isSkiffError } from '#foundation/base/errors.ts';
import type { Logger } from '#foundation/base/log.ts';
import type { KubeletView } from '../ports.ts';

/** Dead containers kept of each name: the original's MaxPerPodContainer. */
const keptPerName = 1;

/** What the collection needs. */
export interface ContainerGcDeps {
  cri: Pick<
    CriClient['runtime'],
    | 'listContainers'
    | 'listPodSandbox'
    | 'removeContainer'
    | 'stopPodSandbox'
    | 'removePodSandbox'
    | 'containerStatus'
  >;
  view: Pick<KubeletView, 'sourcesReady' | 'mayRemoveContent' | 'mayRemoveRuntime'>;
  podLogs: string;
  containerLogs: string;
  log: Logger;
}

/** How far to go. */
export interface CollectOptions {
  /** Also the newest dead containers of pods that are deleted or evicted, when space is short. */
  all?: boolean;
}

/** One collection. Failures of single containers are logged and passed over. */
export async function collectContainers(
  deps: ContainerGcDeps,
  options: CollectOptions,
  signal: AbortSignal,
): Promise<void> {
  if (!deps.view.sourcesReady()) return;
  const { containers } = await deps.cri.listContainers({}, { signal });
  for (const container of deadContainers(deps, containers, options)) await removeOne(deps, container, signal);
  const [{ containers: left }, { items: sandboxes }] = await Promise.all([
    deps.cri.listContainers({}, { signal }),
    deps.cri.listPodSandbox({}, { signal }),
  ]);
  for (const sandbox of unusedSandboxes(deps, sandboxes, left)) await removeSandbox(deps, sandbox, signal);
  await removeLogDirectories(deps);
  await removeDeadLinks(deps.containerLogs);
}

/** The containers to remove: by pod and name all but the newest that are dead. */
export function deadContainers(
  { view }: Pick<ContainerGcDeps, 'view'>,
  containers: readonly Container[],
  options: CollectOptions,
): Container[] {
  const groups = new Map<string, Container[]>();
  for (const container of containers) {
    if (container.state === ContainerState.CONTAINER_RUNNING) continue;
    if (container.state === ContainerState.CONTAINER_CREATED) continue; // About to start.
    if (uidOf(container) === '') continue; // No kubelet made it.
    const key = `${uidOf(container)}/${container.labels['io.kubernetes.container.name']}`;
    groups.set(key, [...(groups.get(key) ?? []), container]);
  }
  return [...groups.values()].flatMap((group) => {
    const newestFirst = group.sort((a, b) => Number(b.createdAt - a.createdAt));
    const uid = newestFirst[0] === undefined ? '' : uidOf(newestFirst[0]);
    const gone = view.mayRemoveContent(uid) || (options.all === true && view.mayRemoveRuntime(uid));
    return newestFirst.slice(gone ? 0 : keptPerName);
  });
}

/** The sandboxes to remove: not ready, without containers, and not the newest of a pod that is still there. */
export function unusedSandboxes(
  { view }: Pick<ContainerGcDeps, 'view'>,
  sandboxes: readonly PodSandbox[],
  containers: readonly Container[],
): PodSandbox[] {
  const used = new Set(containers.map(({ podSandboxId }) => podSandboxId));
  const newest = new Map<string, PodSandbox>();
  for (const sandbox of sandboxes) {
    const uid = sandbox.metadata?.uid ?? '';
    const other = newest.get(uid);
    if (other === undefined || sandbox.createdAt > other.createdAt) newest.set(uid, sandbox);
  }
  return sandboxes.filter((sandbox) => {
    if (sandbox.state === PodSandboxState.SANDBOX_READY || used.has(sandbox.id)) return false;
    const uid = sandbox.metadata?.uid ?? '';
    if (uid === '') return false;
    return newest.get(uid) !== sandbox || view.mayRemoveRuntime(uid);
  });
}

function uidOf(container: Container): string {
  return container.labels['io.kubernetes.pod.uid'] ?? '';
}

async function removeOne(
  { cri, log }: ContainerGcDeps,
  { id }: Container,
  signal: AbortSignal,
): Promise<void> {
  if (signal.aborted) return;
  try {
    const { status } = await cri.containerStatus({ containerId: id }, { signal });
    await cri.removeContainer({ containerId: id }, { signal });
    if (status !== undefined && status.logPath !== '') await removeLogs(status.logPath);
  } catch (error) {
    if (!isSkiffError(error, 'NOT_FOUND') && !signal.aborted)
      log.warn({ containerId: id, err: error }, 'cannot remove a dead container');
  }
}

/** A log and what rotation made of it. */
async function removeLogs(path: string): Promise<void> {
  const directory = join(path, '..');
  const name = path.slice(directory.length + 1);
  for (const file of await listOrNothing(directory))
    if (file === name || file.startsWith(`${name}.`)) await rm(join(directory, file), { force: true });
}

async function removeSandbox(
  { cri, log }: ContainerGcDeps,
  { id }: PodSandbox,
  signal: AbortSignal,
): Promise<void> {
  if (signal.aborted) return;
  try {
    // The network of a sandbox that died by itself is still to be taken down.
    await cri.stopPodSandbox({ podSandboxId: id }, { signal });
    await cri.removePodSandbox({ podSandboxId: id }, { signal });
  } catch (error) {
    if (!isSkiffError(error, 'NOT_FOUND') && !signal.aborted)
      log.warn({ sandboxId: id, err: error }, 'cannot remove a dead sandbox');
  }
}

/** `NAMESPACE_NAME_UID` of pods that are gone. */
async function removeLogDirectories({ view, podLogs }: ContainerGcDeps): Promise<void> {
  for (const name of await listOrNothing(podLogs)) {
    const uid = name.split('_')[2];
    if (uid !== undefined && view.mayRemoveContent(uid))
      await rm(join(podLogs, name), { recursive: true, force: true });
  }
}

/** Links to logs that are not there any more. */
async function removeDeadLinks(directory: string): Promise<void> {
  for (const name of await listOrNothing(directory)) {
    const path = join(directory, name);
    const status = await lstat(path).catch(() => undefined);
    if (status?.isSymbolicLink() !== true) continue;
    const target = await readlink(path).catch(() => '');
    const there = await stat(path).then(
      () => true,
      (error: unknown) => errnoOf(error) !== 'ENOENT',
    );
    if (!there && target !== '') await rm(path, { force: true });
  }
}

async function listOrNothing(directory: string): Promise<string[]> {
  return readdir(directory).catch(() => []);
}
