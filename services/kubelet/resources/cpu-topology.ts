/** Which CPUs share a core, a NUMA node, a socket: /sys/devices/system/cpu. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseCpus } from './cpu-set.ts';

/** One CPU and where it sits. */
export interface Cpu {
  id: number;
  core: string;
  socket: number;
  /** Its NUMA node; 0 where the kernel knows none. */
  numa: number;
  /** Its last-level cache; left out where the kernel names none. */
  uncore?: string;
}

/** How CPUs are chosen beyond what is free. */
export interface Packing {
  /** `distribute-cpus-across-cores`: one thread of each core before the second of any. */
  spreadCores?: boolean;
  /** `prefer-align-cpus-by-uncorecache`: whole caches, then one that has room for all the rest. */
  alignUncore?: boolean;
}

/** Reads the CPUs that are online. */
export function readCpus(root = '/sys/devices/system/cpu'): Cpu[] {
  const online = existsSync(join(root, 'online'))
    ? parseCpus(readFileSync(join(root, 'online'), 'utf8').trim())
    : [];
  const found =
    online.length > 0
      ? online
      : readdirSync(root)
          .flatMap((name) => /^cpu(\d+)$/.exec(name)?.[1] ?? [])
          .map(Number);
  return found.map((id) => {
    const read = (file: string) => {
      const path = join(root, `cpu${id}`, 'topology', file);
      return existsSync(path) ? Number(readFileSync(path, 'utf8')) : 0;
    };
    const socket = read('physical_package_id');
    const directory = join(root, `cpu${id}`);
    const uncore = lastCacheOf(directory);
    return {
      id,
      socket,
      core: `${socket}/${read('core_id')}`,
      numa: numaNodeOf(directory),
      ...(uncore !== undefined && { uncore: `${socket}/${uncore}` }),
    };
  });
}

/** The kernel links each CPU's node into its directory. */
function numaNodeOf(directory: string): number {
  const names = existsSync(directory) ? readdirSync(directory) : [];
  return Number(names.flatMap((name) => /^node(\d+)$/.exec(name)?.[1] ?? [])[0] ?? 0);
}

/** The id of the third-level cache: /sys/devices/system/cpu/cpuN/cache/indexN/id. */
function lastCacheOf(directory: string): string | undefined {
  const caches = join(directory, 'cache');
  const read = (index: string, file: string) => {
    const path = join(caches, index, file);
    return existsSync(path) ? readFileSync(path, 'utf8').trim() : '';
  };
  const indices = existsSync(caches) ? readdirSync(caches) : [];
  const last = indices.find((index) => read(index, 'level') === '3');
  return last === undefined ? undefined : read(last, 'id') || read(last, 'shared_cpu_list');
}

/** How many threads a core has. */
export function threadsPerCore(cpus: readonly Cpu[]): number {
  return Math.max(1, Math.floor(cpus.length / Math.max(1, new Set(cpus.map(({ core }) => core)).size)));
}

/**
 * Takes `count` CPUs out of `free`, packed: whole sockets and NUMA nodes first (the larger before the smaller), then
 * whole cores, then single ones.
 *
 * @returns undefined if there are not enough.
 */
export function takePacked(
  all: readonly Cpu[],
  free: readonly number[],
  count: number,
  { spreadCores = false, alignUncore = false }: Packing = {},
): number[] | undefined {
  const left = new Set(free);
  if (left.size < count) return undefined;
  const taken: number[] = [];
  const take = (ids: readonly number[]) => {
    for (const id of ids) {
      taken.push(id);
      left.delete(id);
    }
  };
  const kinds = (key: 'socket' | 'numa') => new Set(all.map((cpu) => cpu[key])).size;
  const levels =
    kinds('numa') >= kinds('socket') ? (['socket', 'numa'] as const) : (['numa', 'socket'] as const);
  const takeWhole = (key: Level) => {
    for (const ids of groups(all, key)) {
      const whole = ids.every((id) => left.has(id));
      if (whole && ids.length <= count - taken.length) take(ids);
    }
  };
  for (const key of [...levels, ...(alignUncore ? (['uncore'] as const) : [])]) takeWhole(key);
  const room = alignUncore ? roomiestEnough(groups(all, 'uncore'), left, count - taken.length) : undefined;
  for (const id of [...left]) if (room?.includes(id) === false) left.delete(id);
  if (spreadCores) take(threadByThread(all, left).slice(0, count - taken.length));
  else takeWhole('core');
  // The rest from cores that are in use already, so that whole ones stay whole.
  const rest = [...left].sort((a, b) => freeOfCore(all, left, a) - freeOfCore(all, left, b) || a - b);
  take(rest.slice(0, count - taken.length));
  return taken.sort((a, b) => a - b);
}

type Level = 'socket' | 'numa' | 'uncore' | 'core';

/** The group that has room for `count` and least beyond; undefined if none has, or nothing is wanted. */
function roomiestEnough(
  candidates: readonly number[][],
  left: ReadonlySet<number>,
  count: number,
): number[] | undefined {
  const free = candidates.map((ids) => ids.filter((id) => left.has(id)));
  const fitting = count === 0 ? [] : free.filter((ids) => ids.length >= count);
  return fitting.sort((a, b) => a.length - b.length)[0];
}

/** The first free thread of every core, then the second of every core, and so on. */
function threadByThread(all: readonly Cpu[], left: ReadonlySet<number>): number[] {
  const cores = groups(all, 'core').map((ids) => ids.filter((id) => left.has(id)));
  const threads = Math.max(0, ...cores.map(({ length }) => length));
  return Array.from({ length: threads }, (_, thread) => cores.flatMap((ids) => ids[thread] ?? [])).flat();
}

function groups(all: readonly Cpu[], key: Level): number[][] {
  const byKey = new Map<string | number, number[]>();
  for (const cpu of all) {
    const name = cpu[key] ?? `socket ${cpu.socket}`;
    byKey.set(name, [...(byKey.get(name) ?? []), cpu.id]);
  }
  return [...byKey.values()];
}

function freeOfCore(all: readonly Cpu[], left: ReadonlySet<number>, id: number): number {
  const core = all.find((cpu) => cpu.id === id)?.core;
  return all.filter((cpu) => cpu.core === core && left.has(cpu.id)).length;
}
