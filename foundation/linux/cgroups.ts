/**
 * Control groups, versions 1 and 2 and the mix of both (cgroups(7)). A path such as `/kubepods/pod1/c1` names
 * one group in every hierarchy.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { SkiffError } from '#foundation/base/errors.ts';
import { declare, lastErrno } from './libc.ts';
import { listMounts, type MountEntry } from './mount.ts';
import { identify, signalProcess } from './process.ts';

const rmdir2 = declare('int rmdir(const char *path)');

/** How this machine's control groups are laid out. */
export interface CgroupLayout {
  /** `legacy`: version 1 only; `hybrid`: version 1, and a version 2 tree beside it; `unified`: version 2. */
  mode: 'legacy' | 'hybrid' | 'unified';
  /** Where each version 1 controller is mounted: `memory` and so on; named hierarchies as `name=systemd`. */
  v1: ReadonlyMap<string, string>;
  /** Where the version 2 tree is mounted. */
  v2?: string;
  /** Controllers that the version 2 tree's root holds. */
  v2Controllers: ReadonlySet<string>;
}

// biome-ignore format: a list reads better in few lines
const v1Names = [
  'blkio', 'cpu', 'cpuacct', 'cpuset', 'devices', 'freezer', 'hugetlb', 'memory', 'misc',
  'net_cls', 'net_prio', 'perf_event', 'pids', 'rdma',
];

/** Reads the layout from the mount table. @throws SkiffError FAILED_PRECONDITION if no cgroups are mounted. */
export function cgroupLayout(mounts: readonly MountEntry[] = listMounts()): CgroupLayout {
  const v1 = new Map<string, string>();
  let v2: string | undefined;
  for (const entry of mounts) {
    if (entry.type === 'cgroup2') v2 ??= entry.target;
    if (entry.type !== 'cgroup') continue;
    for (const option of entry.superOptions)
      if ((v1Names.includes(option) || option.startsWith('name=')) && !v1.has(option))
        v1.set(option, entry.target);
  }
  if (v1.size === 0 && v2 === undefined)
    throw new SkiffError(
      'FAILED_PRECONDITION',
      'No control groups are mounted; containers need them. Mount them with: mount -t cgroup2 none /sys/fs/cgroup',
    );
  const mode = v1.size === 0 ? 'unified' : v2 === undefined ? 'legacy' : 'hybrid';
  const listed = v2 === undefined ? '' : (readText(join(v2, 'cgroup.controllers')) ?? '');
  return { mode, v1, v2, v2Controllers: new Set(listed.split(/\s+/).filter((name) => name !== '')) };
}

/** The directory of a group in the hierarchy that holds `controller`; undefined if none does. */
export function cgroupDirectory(layout: CgroupLayout, controller: string, path: string): string | undefined {
  const mount = layout.v1.get(controller);
  if (mount !== undefined) return join(mount, path);
  return layout.mode === 'unified' && layout.v2 !== undefined ? join(layout.v2, path) : undefined;
}

/** The directories of a group in all hierarchies. */
export function cgroupDirectories(layout: CgroupLayout, path: string): string[] {
  const mounts = new Set(layout.v1.values());
  if (layout.v2 !== undefined) mounts.add(layout.v2);
  return [...mounts].map((mount) => join(mount, path));
}

/** Reads a file of a group; undefined if the group, the controller or the file is not there. */
export function readCgroup(
  layout: CgroupLayout,
  controller: string,
  path: string,
  file: string,
): string | undefined {
  const directory = cgroupDirectory(layout, controller, path);
  return directory === undefined ? undefined : readText(join(directory, file))?.trimEnd();
}

/** The lines `key value` of a cgroup file (memory.stat, cpu.stat) as numbers. */
export function parseFlatKeyed(text: string): Map<string, bigint> {
  const pairs = text.split('\n').map((line) => line.split(' '));
  return new Map(
    pairs
      .filter(([, value]) => /^\d+$/.test(value ?? ''))
      .map(([key = '', value = '0']) => [key, BigInt(value)]),
  );
}

/** Process ids in a group and in the groups below it, of all hierarchies. */
export function cgroupProcesses(layout: CgroupLayout, path: string): number[] {
  const found = new Set<number>();
  for (const directory of cgroupDirectories(layout, path)) collectProcesses(directory, found);
  return [...found];
}

function collectProcesses(directory: string, found: Set<number>): void {
  for (const line of (readText(join(directory, 'cgroup.procs')) ?? '').split('\n'))
    if (line !== '' && line !== '0') found.add(Number(line));
  for (const child of subdirectories(directory)) collectProcesses(child, found);
}

/** Sends SIGKILL to every process of a group until none is left. */
export async function killCgroup(layout: CgroupLayout, path: string, signal?: AbortSignal): Promise<void> {
  for (let delay = 1; ; delay = Math.min(delay * 2, 50)) {
    const pids = cgroupProcesses(layout, path);
    if (pids.length === 0) return;
    let alive = 0;
    for (const pid of pids) {
      const identity = identify(pid);
      if (identity !== undefined && signalProcess(identity, 9)) alive += 1;
    }
    if (alive === 0) return;
    await sleep(delay, undefined, { signal });
  }
}

/**
 * Removes a group and those below it, in all hierarchies; an absent one is success.
 *
 * @throws SkiffError FAILED_PRECONDITION if processes are left in it after two seconds.
 */
export async function removeCgroup(layout: CgroupLayout, path: string): Promise<void> {
  for (const directory of cgroupDirectories(layout, path)) {
    // A process that just ended leaves its group a moment later.
    for (let attempt = 0; !removeTree(directory); attempt += 1) {
      if (attempt >= 40)
        throw new SkiffError('FAILED_PRECONDITION', `Cannot remove the cgroup "${directory}": it is busy`);
      await sleep(Math.min(50, 2 ** attempt));
    }
  }
}

/** Removes a group, also of one hierarchy only, if nothing is in it; a busy one is left alone. */
export function removeEmptyCgroup(layout: CgroupLayout, path: string): void {
  for (const directory of cgroupDirectories(layout, path)) removeQuietly(directory);
}

/** Most groups have none below them, or are gone already: that is tried first. */
function removeTree(directory: string): boolean {
  if (removeQuietly(directory)) return true;
  for (const child of subdirectories(directory)) if (!removeTree(child)) return false;
  return removeQuietly(directory);
}

/** By system call: a dozen hierarchies refuse the removal of a group that others use for each container that goes. */
function removeQuietly(directory: string): boolean {
  return rmdir2(directory) === 0 || lastErrno() === 'ENOENT';
}

function subdirectories(directory: string): string[] {
  try {
    const entries = readdirSync(directory, { withFileTypes: true });
    return entries.filter((entry) => entry.isDirectory()).map((entry) => join(directory, entry.name));
  } catch {
    return [];
  }
}

function readText(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}
