/** Makes control groups and sets their limits, with one set of terms for versions 1 and 2 (cgroups(7)). */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { errnoOf, wrapError } from '#foundation/base/errors.ts';
import { type CgroupLayout, cgroupDirectory } from './cgroups.ts';

/** Limits of a group; what is left out stays as it is. */
export interface CgroupLimits {
  /** cpu.shares, 2 to 262144; becomes cpu.weight in version 2. */
  cpuShares?: number;
  /** Microseconds of CPU time in each period; 0 for no limit. */
  cpuQuota?: number;
  /** Microseconds. */
  cpuPeriod?: number;
  /** Bytes; 0 for no limit. */
  memory?: number;
  /** Bytes that are kept from being reclaimed, in any case or as far as possible; version 2 only. */
  memoryMin?: number;
  memoryLow?: number;
  /** Processes and threads; 0 for no limit. */
  pids?: number;
  /** Bytes by the kernel's page size: `2MB`. */
  hugePages?: ReadonlyMap<string, number>;
}

/** Version 1 controllers that a group is made in; the others a container runtime adds where it needs them. */
const madeIn = ['cpu', 'cpuacct', 'cpuset', 'memory', 'pids', 'hugetlb', 'blkio', 'devices', 'freezer'];

/** Version 2 controllers that are handed down to a group. */
const handedDown = ['cpu', 'cpuset', 'io', 'memory', 'pids', 'hugetlb'];

/**
 * Makes a group in every hierarchy; success if it is there.
 *
 * @throws SkiffError with the errno's code and the directory that cannot be made.
 */
export function makeCgroup(layout: CgroupLayout, path: string): void {
  if (layout.mode === 'unified') makeUnified(layout, path);
  else for (const controller of madeIn) makeLegacy(layout, controller, path);
}

/** Whether a group is there in every hierarchy it would be made in. */
export function cgroupExists(layout: CgroupLayout, path: string): boolean {
  const controllers = layout.mode === 'unified' ? ['cpu'] : madeIn;
  return controllers.every((controller) => {
    const directory = cgroupDirectory(layout, controller, path);
    return directory === undefined || existsSync(directory);
  });
}

function makeLegacy(layout: CgroupLayout, controller: string, path: string): void {
  const mount = layout.v1.get(controller);
  if (mount === undefined) return;
  for (const directory of ancestors(mount, path)) {
    if (!makeDirectory(directory) || controller !== 'cpuset') continue;
    // A new cpuset is empty, and no process may enter an empty one.
    for (const file of ['cpuset.cpus', 'cpuset.mems'])
      write(join(directory, file), readFileSync(join(dirname(directory), file), 'utf8'));
  }
}

function makeUnified(layout: CgroupLayout, path: string): void {
  const root = layout.v2 ?? '/sys/fs/cgroup';
  for (const directory of ancestors(root, path)) {
    makeDirectory(directory);
    const parent = dirname(directory);
    const available = readFileSync(join(parent, 'cgroup.controllers'), 'utf8').split(/\s+/);
    const wanted = handedDown.filter((controller) => available.includes(controller));
    if (wanted.length > 0)
      write(join(parent, 'cgroup.subtree_control'), wanted.map((name) => `+${name}`).join(' '));
  }
}

/** The directories from below `mount` down to the group. */
function ancestors(mount: string, path: string): string[] {
  const parts = path.split('/').filter((part) => part !== '');
  return parts.map((_, index) => join(mount, ...parts.slice(0, index + 1)));
}

function makeDirectory(directory: string): boolean {
  try {
    mkdirSync(directory, { mode: 0o755 });
    return true;
  } catch (error) {
    if (errnoOf(error) === 'EEXIST') return false;
    throw wrapError(error, `Cannot make the cgroup "${directory}"`);
  }
}

/**
 * Sets limits of a group.
 *
 * @throws SkiffError with the file and the value that the kernel refused.
 */
export function setCgroupLimits(layout: CgroupLayout, path: string, limits: CgroupLimits): void {
  const files = layout.mode === 'unified' ? unifiedFiles(limits) : legacyFiles(limits);
  for (const [controller, file, value] of files) {
    const directory = cgroupDirectory(layout, controller, path);
    if (directory === undefined) continue;
    const target = join(directory, file);
    // Kernels are built without some of these; limits that nobody asked for may then be missing.
    if (existsSync(target)) write(target, value);
  }
}

type Setting = [controller: string, file: string, value: string];

function legacyFiles({ cpuShares, cpuQuota, cpuPeriod, memory, pids, hugePages }: CgroupLimits): Setting[] {
  const files: Setting[] = [];
  if (cpuShares !== undefined) files.push(['cpu', 'cpu.shares', String(cpuShares)]);
  if (cpuPeriod !== undefined && cpuPeriod > 0) files.push(['cpu', 'cpu.cfs_period_us', String(cpuPeriod)]);
  if (cpuQuota !== undefined) files.push(['cpu', 'cpu.cfs_quota_us', String(cpuQuota === 0 ? -1 : cpuQuota)]);
  if (memory !== undefined)
    files.push(['memory', 'memory.limit_in_bytes', String(memory === 0 ? -1 : memory)]);
  if (pids !== undefined) files.push(['pids', 'pids.max', pids === 0 ? 'max' : String(pids)]);
  for (const [size, bytes] of hugePages ?? [])
    files.push(['hugetlb', `hugetlb.${size}.limit_in_bytes`, String(bytes)]);
  return files;
}

function unifiedFiles(limits: CgroupLimits): Setting[] {
  const { cpuShares, cpuQuota, cpuPeriod, memory, memoryMin, memoryLow, pids, hugePages } = limits;
  const files: Setting[] = [];
  if (cpuShares !== undefined) files.push(['cpu', 'cpu.weight', String(weightOf(cpuShares))]);
  if (cpuQuota !== undefined) {
    const period = cpuPeriod === undefined || cpuPeriod === 0 ? 100_000 : cpuPeriod;
    files.push(['cpu', 'cpu.max', `${cpuQuota === 0 ? 'max' : cpuQuota} ${period}`]);
  }
  if (memory !== undefined) files.push(['memory', 'memory.max', memory === 0 ? 'max' : String(memory)]);
  if (memoryMin !== undefined) files.push(['memory', 'memory.min', String(memoryMin)]);
  if (memoryLow !== undefined) files.push(['memory', 'memory.low', String(memoryLow)]);
  if (pids !== undefined) files.push(['pids', 'pids.max', pids === 0 ? 'max' : String(pids)]);
  for (const [size, bytes] of hugePages ?? []) files.push(['hugetlb', `hugetlb.${size}.max`, String(bytes)]);
  return files;
}

/** cpu.weight (1 to 10000) for cpu.shares (2 to 262144): the line between the ends of both ranges. */
export function weightOf(shares: number): number {
  return 1 + Math.floor(((shares - 2) * 9999) / 262_142);
}

function write(path: string, value: string): void {
  try {
    writeFileSync(path, value);
  } catch (error) {
    throw wrapError(error, `Cannot write "${value.trim()}" to ${path}`);
  }
}
