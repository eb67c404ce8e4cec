/**
 * Keeps volumes mounted for the pods that want them, and unmounted for all others. Each kind of volume is a
 * plugin; this file drives them: it waits and tries again for a pod that starts, refreshes content at every
 * sync, and takes away what no pod wants, reading what there is from the disk, so that a crash leaves nothing.
 */
import { mkdirSync, rmSync } from 'node:fs';
import { rmdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Pod, Volume } from '#contracts/kubernetes/types.ts';
import { messageOf, SkiffError } from '#foundation/base/errors.ts';
import { keyedLocks } from '#foundation/base/locks.ts';
import type { Logger } from '#foundation/base/log.ts';
import type { Clock } from '#foundation/base/time.ts';
import { mountsBelow, shareMount, unmount } from '#foundation/linux/mount.ts';
import type { EventRecorder, MountedVolume, Mounts, VolumeManager } from '../ports.ts';
import { claimOf, type ResolvedVolume, type VolumeResolver } from './claims.ts';
import type { VolumePlugin, VolumeRequest } from './plugin.ts';
import { type PodPaths, podPaths, volumeDirectory } from './pod-paths.ts';
import { entriesOf, removeVolume, unmountBelow } from './remove.ts';
import { releaseSubPaths } from './sub-path.ts';

/** Milliseconds a pod's start waits for its volumes: the original's. */
const mountWaitMs = 123_000;
const firstRetryMs = 500;
const longestRetryMs = 122_000;

/** What the volume manager needs. */
export interface VolumesDeps {
  kubeletRoot: string;
  plugins: readonly VolumePlugin[];
  /** Finds what stands behind claims. */
  resolve: VolumeResolver;
  /** Unique names of attachable volumes in use. */
  attached?: () => string[];
  clock: Clock;
  events: Pick<EventRecorder, 'pod'>;
  log: Logger;
  /** Told when all of a pod's volumes are gone. */
  onGone?: (podUid: string) => void;
}

/** Makes the volume manager. */
export function createVolumeManager(deps: VolumesDeps): VolumeManager {
  const locks = keyedLocks();
  const mounted = new Map<string, Map<string, MountedVolume>>();
  const stopping = new AbortController();
  let bound = false;
  let wanted: ReadonlySet<string> | undefined;
  const podMounts = () => mountsBelow(join(deps.kubeletRoot, 'pods')).length;
  const pathsOf = (uid: string) => podPaths(deps.kubeletRoot, uid);
  const unmountAll = (uid: string, signal: AbortSignal) =>
    locks.run(
      uid,
      async () => {
        await removeAll(deps.plugins, pathsOf(uid), signal);
        mounted.delete(uid);
        deps.onGone?.(uid);
      },
      signal,
    );
  const removing = new Set<string>();
  /** Pods whose volumes are being removed are left alone: one that hangs must not keep the others. */
  const collect = () => {
    const pods = join(deps.kubeletRoot, 'pods');
    const uids = entriesOf(pods).filter((uid) => wanted?.has(uid) === false && !removing.has(uid));
    const mounts = uids.length === 0 ? [] : mountsBelow(pods);
    for (const uid of uids.filter((each) => leftOnDisk(pathsOf(each), mounts))) {
      removing.add(uid);
      void unmountAll(uid, stopping.signal)
        .catch((error: unknown) =>
          deps.log.warn({ podUid: uid, err: error }, 'cannot remove the volumes of a pod that is gone'),
        )
        .finally(() => removing.delete(uid));
    }
  };
  return {
    start: async () => {
      mkdirSync(join(deps.kubeletRoot, 'pods'), { recursive: true, mode: 0o750 });
      // Volumes with mount propagation need it; where the root of the machine is shared it is so already.
      bound = shareMount(deps.kubeletRoot);
    },
    async stop() {
      stopping.abort(new SkiffError('CANCELLED', 'the kubelet stops'));
      // Pods that live on keep their mounts, and the next kubelet finds them shared.
      if (bound && podMounts() === 0) unmount(deps.kubeletRoot, { lazy: true });
    },
    reconcile(pods) {
      wanted = new Set(pods.map((pod) => pod.metadata.uid ?? ''));
      collect();
    },
    waitForMounts: (pod, signal) => waitForMounts(deps, locks, mounted, pod, signal),
    unmountAll,
    hasMounts: async (uid) => leftOnDisk(pathsOf(uid)),
    held: async (uids) => {
      const mounts = mountsBelow(join(deps.kubeletRoot, 'pods'));
      return new Set(uids.filter((uid) => leftOnDisk(pathsOf(uid), mounts)));
    },
    volumesInUse: () => deps.attached?.() ?? [],
    mountsOf: (uid) => mounted.get(uid) ?? new Map(),
  };
}

async function waitForMounts(
  deps: VolumesDeps,
  locks: ReturnType<typeof keyedLocks>,
  mounted: Map<string, Map<string, MountedVolume>>,
  pod: Pod,
  signal: AbortSignal,
): Promise<Mounts> {
  const uid = pod.metadata.uid ?? '';
  const known = mounted.get(uid) ?? new Map<string, MountedVolume>();
  mounted.set(uid, known);
  const deadline = deps.clock.monotonic() + mountWaitMs;
  for (let pause = firstRetryMs; ; pause = Math.min(pause * 2, longestRetryMs)) {
    const failures = await locks.run(uid, () => mountMissing(deps, pod, known, signal), signal);
    const refused = failures.filter(([name]) => !known.has(name));
    if (refused.length === 0) return known;
    const left = deadline - deps.clock.monotonic();
    if (left <= 0) throw timedOut(refused);
    await deps.clock.sleep(Math.min(pause, left), signal);
  }
}

function timedOut(failures: [string, unknown][]): SkiffError {
  const names = failures.map(([name]) => name).join(' ');
  const [, cause] = failures[0] ?? [];
  return new SkiffError(
    'DEADLINE_EXCEEDED',
    `unmounted volumes=[${names}], unattached volumes=[], failed to process volumes=[]: ${messageOf(cause)}`,
    { cause },
  );
}

/** One pass over all volumes of a pod. @returns those that failed, with why. */
async function mountMissing(
  deps: VolumesDeps,
  pod: Pod,
  known: Map<string, MountedVolume>,
  signal: AbortSignal,
): Promise<[string, unknown][]> {
  const failures: [string, unknown][] = [];
  for (const volume of pod.spec.volumes ?? []) {
    try {
      // What is mounted stays as it is, except content that follows the API.
      if (known.has(volume.name) && !refreshes(deps.plugins, volume))
        await updateOne(deps, pod, volume, signal);
      else known.set(volume.name, await mountOne(deps, pod, await deps.resolve(pod, volume), signal));
    } catch (error) {
      signal.throwIfAborted();
      failures.push([volume.name, error]);
      const message = `MountVolume.SetUp failed for volume "${volume.name}" : ${messageOf(error)}`;
      deps.events.pod(pod, 'Warning', 'FailedMount', message);
    }
  }
  return failures;
}

function refreshes(plugins: readonly VolumePlugin[], volume: Volume): boolean {
  return plugins.some((each) => each.refreshes === true && each.handles(volume));
}

async function mountOne(
  deps: VolumesDeps,
  pod: Pod,
  resolved: ResolvedVolume,
  signal: AbortSignal,
): Promise<MountedVolume> {
  const plugin = pluginFor(deps.plugins, resolved.volume);
  const request = requestOf(deps, plugin, pod, resolved, signal);
  mkdirSync(dirname(request.directory), { recursive: true, mode: 0o750 });
  const mounted = await plugin.mount(request);
  return resolved.readOnly ? { ...mounted, readOnly: true } : mounted;
}

/** Lets a mounted volume grow and renew its credentials. Only claims and drivers' own volumes can need it. */
async function updateOne(deps: VolumesDeps, pod: Pod, volume: Volume, signal: AbortSignal): Promise<void> {
  if (claimOf(pod, volume) === undefined && volume.csi === undefined) return;
  try {
    const resolved = await deps.resolve(pod, volume);
    const plugin = pluginFor(deps.plugins, resolved.volume);
    await plugin.update?.(requestOf(deps, plugin, pod, resolved, signal));
  } catch (error) {
    signal.throwIfAborted();
    deps.log.warn({ volume: volume.name, err: error }, 'cannot bring a mounted volume up to date');
  }
}

function requestOf(
  { kubeletRoot }: VolumesDeps,
  plugin: VolumePlugin,
  pod: Pod,
  resolved: ResolvedVolume,
  signal: AbortSignal,
): VolumeRequest {
  const paths = podPaths(kubeletRoot, pod.metadata.uid ?? '');
  const { volume, name, persistent, claim, readOnly } = resolved;
  const directory = volumeDirectory(paths, plugin.name, name);
  return { pod, volume, paths, directory, persistent, claim, readOnly, signal };
}

function pluginFor(plugins: readonly VolumePlugin[], volume: Volume): VolumePlugin {
  const found = plugins.find((plugin) => plugin.handles(volume));
  if (found !== undefined) return found;
  const kind =
    Object.entries(volume).find(([key, value]) => key !== 'name' && value !== undefined)?.[0] ?? 'none';
  throw new SkiffError(
    'UNIMPLEMENTED',
    `no volume plugin matched: volumes of kind ${kind} are not supported`,
  );
}

async function removeAll(
  plugins: readonly VolumePlugin[],
  paths: PodPaths,
  signal: AbortSignal,
): Promise<void> {
  releaseSubPaths(paths);
  for (const kind of entriesOf(paths.volumes)) {
    const plugin = plugins.find((each) => `kubernetes.io~${each.name}` === kind);
    for (const name of entriesOf(join(paths.volumes, kind))) {
      const directory = join(paths.volumes, kind, name);
      if (plugin?.unmount === undefined) removeVolume(directory);
      else await plugin.unmount(directory, paths, signal);
    }
    await rmdir(join(paths.volumes, kind)).catch(() => {}); // Not empty: reported by the check that follows.
  }
  unmountBelow(paths.volumes);
  if (entriesOf(paths.volumes).length === 0) return rmSync(paths.volumes, { recursive: true, force: true });
  throw new SkiffError('FAILED_PRECONDITION', `Cannot remove "${paths.volumes}": something is left in it`);
}

/** Whether the disk or the mount table holds anything of a pod's volumes. */
function leftOnDisk(paths: PodPaths, mounts = mountsBelow(paths.root)): boolean {
  return (
    entriesOf(paths.volumes).length > 0 ||
    entriesOf(paths.subpaths).length > 0 ||
    mounts.some(({ target }) => target.startsWith(`${paths.root}/`))
  );
}
