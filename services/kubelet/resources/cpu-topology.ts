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
    return { id, socket, core: `${socket}/${read('core_id')}`, numa: numaNodeOf(join(root, `cpu${id}`)) };
  });
}

/** The kernel links each CPU's node into its directory. */
function numaNodeOf(directory: string): number {
  const names = existsSync(directory) ? readdirSync(directory) : [];
  return Number(names.flatMap((name) => /^node(\d+)$/.exec(name)?.[1] ?? [])[0] ?? 0);
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
  for (const key of [...levels, 'core'] as const)
    for (const ids of groups(all, key)) {
      const whole = ids.every((id) => left.has(id));
      if (whole && ids.length <= count - taken.length) take(ids);
    }
  // The rest from cores that are in use already, so that whole ones stay whole.
  const rest = [...left].sort((a, b) => freeOfCore(all, left, a) - freeOfCore(all, left, b) || a - b);
  take(rest.slice(0, count - taken.length));
  return taken.sort((a, b) => a - b);
}

function groups(all: readonly Cpu[], key: 'socket' | 'numa' | 'core'): number[][] {
  const byKey = new Map<string | number, number[]>();
  for (const cpu of all) byKey.set(cpu[key], [...(byKey.get(cpu[key]) ?? []), cpu.id]);
  return [...byKey.values()];
}

function freeOfCore(all: readonly Cpu[], left: ReadonlySet<number>, id: number): number {
  const core = all.find((cpu) => cpu.id === id)?.core;
  return all.filter((cpu) => cpu.core === core && left.has(cpu.id)).length;
}
