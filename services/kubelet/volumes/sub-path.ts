/**
 * Sub-paths of volumes. A container gets a bind mount that the kubelet made from a file held open inside the
 * volume, so that nobody can swap a link into the path between the check and the use.
 */
import { mkdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { dirname, isAbsolute, join } from 'node:path';
import { isSkiffError, SkiffError } from '#foundation/base/errors.ts';
import { type HeldPath, holdBeneath, makeDirectoriesBeneath } from '#foundation/linux/beneath.ts';
import { bindMount, unmount } from '#foundation/linux/mount.ts';
import type { PodPaths } from './pod-paths.ts';
import { entriesOf, removeVolume } from './remove.ts';

/** A sub-path to hand to a container. */
export interface SubPathRequest {
  paths: PodPaths;
  volume: string;
  /** Host path of the volume's root. */
  volumeRoot: string;
  container: string;
  /** The position of the mount in the container's `volumeMounts`. */
  index: number;
  /** Relative, after expansion of variables. */
  subPath: string;
  /** Whether missing directories may be made: not in read-only volumes. */
  create: boolean;
}

/**
 * Checks a sub-path's form.
 *
 * @throws SkiffError INVALID_ARGUMENT if it is absolute or holds `..`.
 */
export function validateSubPath(subPath: string): void {
  if (isAbsolute(subPath))
    throw new SkiffError('INVALID_ARGUMENT', `subPath "${subPath}" must be a relative path`);
  if (subPath.split('/').includes('..'))
    throw new SkiffError('INVALID_ARGUMENT', `subPath "${subPath}" must not contain ".."`);
}

/**
 * Bind-mounts the sub-path at `volume-subpaths/VOLUME/CONTAINER/INDEX`, making it as a directory if it is missing.
 *
 * @returns the host path to mount into the container.
 * @throws SkiffError PERMISSION_DENIED if the path leaves the volume, also through symbolic links.
 */
export function bindSubPath(request: SubPathRequest): string {
  validateSubPath(request.subPath);
  using source = hold(request);
  const target = join(request.paths.subpaths, request.volume, request.container, String(request.index));
  unmount(target, { lazy: true });
  rmSync(target, { recursive: true, force: true });
  mkdirSync(dirname(target), { recursive: true, mode: 0o750 });
  if (statSync(source.path).isDirectory()) mkdirSync(target, { mode: 0o750 });
  else writeFileSync(target, '', { mode: 0o640 });
  bindMount(source.path, target);
  return target;
}

function hold(request: SubPathRequest): HeldPath {
  try {
    return holdBeneath(request.volumeRoot, request.subPath);
  } catch (error) {
    if (!isSkiffError(error, 'NOT_FOUND') || !request.create) throw error;
    return makeDirectoriesBeneath(
      request.volumeRoot,
      request.subPath,
      statSync(request.volumeRoot).mode & 0o777,
    );
  }
}

/** Removes the sub-path mounts of one container, or of all; success if there are none. */
export function releaseSubPaths(paths: PodPaths, container?: string): void {
  if (container === undefined) removeVolume(paths.subpaths);
  else for (const volume of entriesOf(paths.subpaths)) removeVolume(join(paths.subpaths, volume, container));
}
