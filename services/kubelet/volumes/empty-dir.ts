/** emptyDir: a directory, tmpfs or huge pages that live as long as the pod. Disk size limits are eviction's. */
import { chmodSync, existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import type { Pod, Volume } from '#contracts/kubernetes/types.ts';
import { SkiffError } from '#foundation/base/errors.ts';
import { mount } from '#foundation/linux/mount.ts';
import { amountOf } from '../resources/amounts.ts';
import { setOwnership } from './ownership.ts';
import type { VolumePlugin, VolumeRequest } from './plugin.ts';
import type { PodPaths } from './pod-paths.ts';
import { removeVolume } from './remove.ts';
import { ensureTmpfs, isFileSystemRoot } from './tmpfs.ts';

const name = 'empty-dir';

/**
 * @param allocatableMemory bytes of memory that pods may use on this node: the upper bound of a tmpfs.
 */
export function emptyDirPlugin(deps: { allocatableMemory: () => number }): VolumePlugin {
  return {
    name,
    handles: (volume) => volume.emptyDir !== undefined,
    async mount(request) {
      const ready = readyMarker(request.paths, request.volume.name);
      const memory = (request.volume.emptyDir?.medium ?? '') !== '';
      const done = existsSync(ready) && existsSync(request.directory);
      // A reboot unmounts memory but leaves the marker.
      if (!done || (memory && !isFileSystemRoot(request.directory)))
        setUp(request, ready, deps.allocatableMemory());
      return { hostPath: request.directory, readOnly: false };
    },
    async unmount(directory, paths) {
      rmSync(readyMarker(paths, basename(directory)), { recursive: true, force: true });
      removeVolume(directory);
    },
  };
}

/** The original's marker that a volume was set up to its end, so that a restart does not change owners again. */
function readyMarker(paths: PodPaths, volume: string): string {
  return join(paths.plugins, `kubernetes.io~${name}`, volume, 'ready');
}

function setUp({ pod, volume, directory }: VolumeRequest, ready: string, allocatable: number): void {
  mkdirSync(directory, { recursive: true });
  const medium = volume.emptyDir?.medium ?? '';
  if (medium === 'Memory') ensureTmpfs(directory, memorySize(pod, volume, allocatable));
  else if (medium.startsWith('HugePages')) ensureHugePages(directory, pod, medium);
  else if (medium !== '')
    throw new SkiffError('INVALID_ARGUMENT', `Volume "${volume.name}" has the unknown medium "${medium}"`);
  chmodSync(directory, 0o777);
  const group = pod.spec.securityContext?.fsGroup;
  if (group !== undefined) setOwnership(directory, { group, readOnly: false });
  mkdirSync(join(ready, '..'), { recursive: true, mode: 0o750 });
  writeFileSync(ready, '');
}

/** The smallest of what the node has, what the pod may use, and what the volume asks for. */
export function memorySize(pod: Pod, volume: Volume, allocatable: number): number {
  const sizes = [allocatable];
  const podLimit = podMemoryLimit(pod);
  if (podLimit !== undefined) sizes.push(podLimit);
  const asked = volume.emptyDir?.sizeLimit;
  if (asked !== undefined) sizes.push(amountOf(asked));
  return Math.min(...sizes.filter((size) => size > 0));
}

/** What all containers together may use; undefined as soon as one has no limit. */
function podMemoryLimit(pod: Pod): number | undefined {
  const own = pod.spec.resources?.limits?.memory;
  if (own !== undefined) return amountOf(own);
  let sum = 0;
  for (const container of pod.spec.containers) {
    const limit = container.resources?.limits?.memory;
    if (limit === undefined) return undefined;
    sum += amountOf(limit);
  }
  return sum;
}

function ensureHugePages(directory: string, pod: Pod, medium: string): void {
  if (isFileSystemRoot(directory)) return;
  const size = medium === 'HugePages' ? onlyPageSize(pod) : medium.slice('HugePages-'.length);
  const bytes = amountOf(size);
  mount({ source: 'nodev', target: directory, type: 'hugetlbfs', data: `pagesize=${bytes}` });
}

/** `medium: HugePages` needs that the pod's containers ask for one page size only. */
function onlyPageSize(pod: Pod): string {
  const sizes = new Set<string>();
  for (const container of [...(pod.spec.initContainers ?? []), ...pod.spec.containers])
    for (const resource of Object.keys(container.resources?.requests ?? container.resources?.limits ?? {}))
      if (resource.startsWith('hugepages-')) sizes.add(resource.slice('hugepages-'.length));
  const [size] = sizes;
  if (sizes.size === 1 && size !== undefined) return size;
  throw new SkiffError(
    'INVALID_ARGUMENT',
    `Medium HugePages needs containers that ask for exactly one page size, found ${sizes.size}: name it as HugePages-2Mi`,
  );
}
