/** Where a container's files are. */
import { mkdirSync, readFileSync, rmSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import type { RuntimeSpec } from '#contracts/oci/runtime.ts';
import type { MonitorPaths } from '#contracts/oci/runtime-driver.ts';
import { makeDirectories } from '#foundation/base/directories.ts';
import { SkiffError } from '#foundation/base/errors.ts';
import type { Paths } from '#foundation/base/paths.ts';
import type { HostFacts } from './spec/host.ts';

/** The OCI bundle: config.json, conmon's control files, and the exit code that survives a reboot. */
export function bundleOf(paths: Pick<Paths, 'lib'>, id: string): string {
  return join(paths.lib, 'containers', id);
}

/** The config.json that the container was made with. */
export function specOf({ paths }: { paths: Pick<Paths, 'lib'> }, { id }: { id: string }): RuntimeSpec {
  return JSON.parse(readFileSync(join(bundleOf(paths, id), 'config.json'), 'utf8'));
}

/** Directories for the image's VOLUMEs. */
export function volumesOf(paths: Pick<Paths, 'lib'>, id: string): string {
  return join(bundleOf(paths, id), 'volumes');
}

/** The key of a container's n-th image volume in the image store. */
export function imageVolumeKey(id: string, index: number): string {
  return `${id}/${index}`;
}

/** Directories that conmon writes to; they end with a reboot. Made if absent. */
export function monitorPaths(paths: Pick<Paths, 'run'>): MonitorPaths {
  const made = { exits: join(paths.run, 'exits'), attach: join(paths.run, 'attach') };
  for (const directory of Object.values(made)) mkdirSync(directory, { recursive: true, mode: 0o700 });
  return made;
}

/** Removes what conmon left outside the bundle. */
export function removeMonitorFiles(monitor: MonitorPaths, attachName: string, id: string): void {
  rmSync(join(monitor.exits, id), { force: true });
  rmSync(join(monitor.attach, attachName), { force: true, recursive: true });
}

/** A container's cgroup: what config.json says, and the path in each hierarchy. */
export interface CgroupPlace {
  spec: string;
  path: string;
}

/** The group that containers without a parent are put in. */
export function ownCgroupParent(tag: string): string {
  return `/skiff-${tag}`;
}

/**
 * Where a container's cgroup is.
 *
 * @param parent the sandbox's cgroup_parent: `/kubepods/pod1`, `kubepods-pod1.slice`, or empty.
 * @throws SkiffError INVALID_ARGUMENT if the parent leaves the hierarchy or does not fit the driver.
 */
export function cgroupPlace(
  parent: string,
  id: string,
  tag: string,
  driver: HostFacts['cgroupDriver'],
): CgroupPlace {
  const given = parent === '' ? ownCgroupParent(tag) : parent;
  if (given.split('/').includes('..'))
    throw new SkiffError('INVALID_ARGUMENT', `the cgroup_parent "${parent}" has ".." in it`);
  if (driver === 'cgroupfs') {
    const path = join('/', given, id);
    return { spec: path, path };
  }
  const slice = parent === '' ? 'system.slice' : basename(given);
  if (!slice.endsWith('.slice'))
    throw new SkiffError(
      'INVALID_ARGUMENT',
      `the cgroup_parent "${parent}" is no slice, which systemd needs`,
    );
  return { spec: `${slice}:skiff:${id}`, path: join('/', slicePath(slice), `skiff-${id}.scope`) };
}

/** `a-b.slice` lies in `a.slice`: systemd.slice(5). */
function slicePath(slice: string): string {
  const parts = slice.replace(/\.slice$/, '').split('-');
  return parts.map((_, index) => `${parts.slice(0, index + 1).join('-')}.slice`).join('/');
}

/** The directory of a log file, made if absent. */
export function makeLogDirectory(logPath: string): void {
  if (logPath !== '') makeDirectories(dirname(logPath));
}
