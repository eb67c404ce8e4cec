/** What this machine uses right now: memory, CPU, disks, processes. */
import { readFileSync } from 'node:fs';
import { statfs } from 'node:fs/promises';
import { type CgroupLayout, parseFlatKeyed, readCgroup } from '#foundation/linux/cgroups.ts';
import { defaultInterface } from '../node/addresses.ts';
import { parseMeminfo } from '../node/machine.ts';

/** Bytes of memory. */
export interface MemoryUsage {
  usage: number;
  /** Usage less what the kernel could drop at once (inactive file pages). */
  workingSet: number;
  /** What is left: capacity, or the group's limit, less the working set. */
  available: number;
  rss: number;
  pageFaults: number;
  majorPageFaults: number;
}

/** A file system's room. */
export interface DiskUsage {
  available: number;
  capacity: number;
  used: number;
  inodes: number;
  inodesFree: number;
  inodesUsed: number;
}

/** Memory of the whole machine, as its root group accounts for it; /proc/meminfo where it does not. */
export function machineMemory(layout: CgroupLayout, capacity: number): MemoryUsage {
  const stat = parseFlatKeyed(readCgroup(layout, 'memory', '/', 'memory.stat') ?? '');
  const number = (name: string) => Number(stat.get(name) ?? 0n);
  const info = parseMeminfo(readFileSync('/proc/meminfo', 'utf8'));
  const legacy = readCgroup(layout, 'memory', '/', 'memory.usage_in_bytes');
  const usage =
    legacy === undefined ? (info.get('MemTotal') ?? 0) - (info.get('MemFree') ?? 0) : Number(legacy);
  const inactive =
    number('total_inactive_file') || number('inactive_file') || (info.get('Inactive(file)') ?? 0);
  const workingSet = Math.max(0, usage - inactive);
  return {
    usage,
    workingSet,
    available: Math.max(0, capacity - workingSet),
    rss: number('total_rss') || number('anon') || (info.get('AnonPages') ?? 0),
    pageFaults: number('total_pgfault') || number('pgfault'),
    majorPageFaults: number('total_pgmajfault') || number('pgmajfault'),
  };
}

/** Memory of one group; undefined if there is none. `limit` is the machine's capacity where the group has none. */
export function groupMemory(layout: CgroupLayout, path: string, capacity: number): MemoryUsage | undefined {
  const v2 = layout.mode === 'unified';
  const usageText = readCgroup(layout, 'memory', path, v2 ? 'memory.current' : 'memory.usage_in_bytes');
  if (usageText === undefined) return undefined;
  const stat = parseFlatKeyed(readCgroup(layout, 'memory', path, 'memory.stat') ?? '');
  const number = (name: string) => Number(stat.get(`total_${name}`) ?? stat.get(name) ?? 0n);
  const limitText = readCgroup(layout, 'memory', path, v2 ? 'memory.max' : 'memory.limit_in_bytes');
  const limit = Math.min(capacity, Number(limitText) || capacity);
  const usage = Number(usageText);
  const workingSet = Math.max(0, usage - number('inactive_file'));
  return {
    usage,
    workingSet,
    available: Math.max(0, limit - workingSet),
    rss: v2 ? number('anon') : number('rss'),
    pageFaults: number('pgfault'),
    majorPageFaults: number('pgmajfault'),
  };
}

/** Nanoseconds of CPU time a group has used; undefined if there is none. */
export function groupCpu(layout: CgroupLayout, path: string): number | undefined {
  if (layout.mode !== 'unified') {
    const text = readCgroup(layout, 'cpuacct', path, 'cpuacct.usage');
    return text === undefined ? undefined : Number(text);
  }
  const text = readCgroup(layout, 'cpu', path, 'cpu.stat');
  const micros = text === undefined ? undefined : parseFlatKeyed(text).get('usage_usec');
  return micros === undefined ? undefined : Number(micros) * 1000;
}

/** Room of the file system that holds `path`. @throws ENOENT and its like. */
export async function diskUsage(path: string): Promise<DiskUsage> {
  const { blocks, bfree, bavail, bsize, files, ffree } = await statfs(path);
  return {
    available: bavail * bsize,
    capacity: blocks * bsize,
    used: (blocks - bfree) * bsize,
    inodes: files,
    inodesFree: ffree,
    inodesUsed: files - ffree,
  };
}

/** Processes and threads: how many there are, and how many there may be. */
export function processCounts(): { max: number; current: number } {
  const pidMax = Number(readFileSync('/proc/sys/kernel/pid_max', 'utf8'));
  const threadsMax = Number(readFileSync('/proc/sys/kernel/threads-max', 'utf8'));
  // The fourth field of loadavg: running/all kernel scheduling entities.
  const current = Number(readFileSync('/proc/loadavg', 'utf8').split(' ')[3]?.split('/')[1] ?? 0);
  return { max: Math.min(pidMax, threadsMax), current };
}

/** Traffic of one interface of the machine: /proc/net/dev. */
export interface InterfaceTraffic {
  name: string;
  rxBytes: number;
  rxErrors: number;
  txBytes: number;
  txErrors: number;
}

/** Traffic of the machine's interfaces but loopback; that with the default route first. */
export function interfaceTraffic(): InterfaceTraffic[] {
  const rows = readFileSync('/proc/net/dev', 'utf8').split('\n').slice(2);
  const preferred = defaultInterface();
  const traffic = rows.flatMap((row) => {
    const [name = '', numbers = ''] = row.trim().split(/:\s*/);
    if (name === '' || name === 'lo') return [];
    const fields = numbers.split(/\s+/).map(Number);
    const at = (index: number) => fields[index] ?? 0;
    return [{ name, rxBytes: at(0), rxErrors: at(2), txBytes: at(8), txErrors: at(10) }];
  });
  return traffic.sort((a, b) => Number(b.name === preferred) - Number(a.name === preferred));
}
