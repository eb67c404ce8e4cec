/** What a control group uses now, read from version 1 or 2 files and brought to one form. */
import { type CgroupLayout, cgroupProcesses, parseFlatKeyed, readCgroup } from '#foundation/linux/cgroups.ts';

/** A group's usage. Bytes, nanoseconds, counts. */
export interface CgroupUsage {
  cpu?: CpuCounters;
  memory?: MemoryUsage;
  /** Processes of the group and those below. */
  processes: number;
  /** Threads. */
  threads: bigint;
  threadLimit: bigint;
  psi: { cpu?: Pressure; memory?: Pressure; io?: Pressure };
}

/** Counters since the group was made. */
export interface CpuCounters {
  usage: bigint;
  user: bigint;
  system: bigint;
  /** Scheduling periods with a quota, and those in which it was used up. */
  periods: bigint;
  throttledPeriods: bigint;
  throttled: bigint;
}

/** Memory of a group. */
export interface MemoryUsage {
  usage: bigint;
  workingSet: bigint;
  rss: bigint;
  cache: bigint;
  mappedFile: bigint;
  kernel: bigint;
  swap: bigint;
  /** 0 for no limit. */
  limit: bigint;
  /** 0 for no limit; swap alone. */
  swapLimit: bigint;
  pageFaults: bigint;
  majorPageFaults: bigint;
  maxUsage: bigint;
  failures: bigint;
  oomKills: bigint;
  activeFile: bigint;
  inactiveFile: bigint;
}

/** Pressure stall information: https://docs.kernel.org/accounting/psi.html. */
export interface Pressure {
  some: PressureLine;
  full: PressureLine;
}

/** Shares in per cent over 10, 60 and 300 seconds, and a total in nanoseconds. */
export interface PressureLine {
  avg10: number;
  avg60: number;
  avg300: number;
  total: bigint;
}

/** A limit above this is none: version 1 writes LONG_MAX rounded down to a page. */
const noLimit = 1n << 62n;

/** Reads a group; undefined if it is not there. */
export function readUsage(layout: CgroupLayout, path: string): CgroupUsage | undefined {
  const unified = layout.mode === 'unified';
  const cpu = unified ? readCpu2(layout, path) : readCpu1(layout, path);
  const memory = unified ? readMemory2(layout, path) : readMemory1(layout, path);
  if (cpu === undefined && memory === undefined) return undefined;
  return {
    cpu,
    memory,
    processes: cgroupProcesses(layout, path).length,
    threads: number(readCgroup(layout, 'pids', path, 'pids.current')),
    threadLimit: limit(readCgroup(layout, 'pids', path, 'pids.max')),
    psi: unified
      ? {
          cpu: parsePressure(readCgroup(layout, 'cpu', path, 'cpu.pressure')),
          memory: parsePressure(readCgroup(layout, 'memory', path, 'memory.pressure')),
          io: parsePressure(readCgroup(layout, 'io', path, 'io.pressure')),
        }
      : {},
  };
}

/** CPU time alone, for the sampler; undefined if the group is gone. Nanoseconds. */
export function readCpuUsage(layout: CgroupLayout, path: string): bigint | undefined {
  return layout.mode === 'unified'
    ? readCpu2(layout, path)?.usage
    : number1(readCgroup(layout, 'cpuacct', path, 'cpuacct.usage'));
}

function readCpu1(layout: CgroupLayout, path: string): CpuCounters | undefined {
  const usage = number1(readCgroup(layout, 'cpuacct', path, 'cpuacct.usage'));
  if (usage === undefined) return undefined;
  const quota = parseFlatKeyed(readCgroup(layout, 'cpu', path, 'cpu.stat') ?? '');
  return {
    usage,
    user: number(readCgroup(layout, 'cpuacct', path, 'cpuacct.usage_user')),
    system: number(readCgroup(layout, 'cpuacct', path, 'cpuacct.usage_sys')),
    periods: quota.get('nr_periods') ?? 0n,
    throttledPeriods: quota.get('nr_throttled') ?? 0n,
    throttled: quota.get('throttled_time') ?? 0n,
  };
}

function readCpu2(layout: CgroupLayout, path: string): CpuCounters | undefined {
  const text = readCgroup(layout, 'cpu', path, 'cpu.stat');
  if (text === undefined) return undefined;
  const stat = parseFlatKeyed(text);
  const micros = (name: string) => (stat.get(name) ?? 0n) * 1000n;
  return {
    usage: micros('usage_usec'),
    user: micros('user_usec'),
    system: micros('system_usec'),
    periods: stat.get('nr_periods') ?? 0n,
    throttledPeriods: stat.get('nr_throttled') ?? 0n,
    throttled: micros('throttled_usec'),
  };
}

function readMemory1(layout: CgroupLayout, path: string): MemoryUsage | undefined {
  const read = (file: string) => readCgroup(layout, 'memory', path, `memory.${file}`);
  const usage = number1(read('usage_in_bytes'));
  if (usage === undefined) return undefined;
  const stat = parseFlatKeyed(read('stat') ?? '');
  const total = (name: string) => stat.get(`total_${name}`) ?? 0n;
  const memoryLimit = limit(read('limit_in_bytes'));
  const bothLimit = limit(read('memsw.limit_in_bytes'));
  return {
    usage,
    workingSet: positive(usage - total('inactive_file')),
    rss: total('rss'),
    cache: total('cache'),
    mappedFile: total('mapped_file'),
    kernel: number(read('kmem.usage_in_bytes')),
    swap: total('swap'),
    limit: memoryLimit,
    swapLimit: bothLimit === 0n || memoryLimit === 0n ? 0n : positive(bothLimit - memoryLimit),
    pageFaults: total('pgfault'),
    majorPageFaults: total('pgmajfault'),
    maxUsage: number(read('max_usage_in_bytes')),
    failures: number(read('failcnt')),
    oomKills: parseFlatKeyed(read('oom_control') ?? '').get('oom_kill') ?? 0n,
    activeFile: total('active_file'),
    inactiveFile: total('inactive_file'),
  };
}

function readMemory2(layout: CgroupLayout, path: string): MemoryUsage | undefined {
  const read = (file: string) => readCgroup(layout, 'memory', path, `memory.${file}`);
  const usage = number1(read('current'));
  if (usage === undefined) return undefined;
  const stat = parseFlatKeyed(read('stat') ?? '');
  const events = parseFlatKeyed(read('events') ?? '');
  const value = (name: string) => stat.get(name) ?? 0n;
  return {
    usage,
    workingSet: positive(usage - value('inactive_file')),
    rss: value('anon'),
    cache: value('file'),
    mappedFile: value('file_mapped'),
    kernel: value('kernel'),
    swap: number(read('swap.current')),
    limit: limit(read('max')),
    swapLimit: limit(read('swap.max')),
    pageFaults: value('pgfault'),
    majorPageFaults: value('pgmajfault'),
    maxUsage: number(read('peak')),
    failures: events.get('max') ?? 0n,
    oomKills: events.get('oom_kill') ?? 0n,
    activeFile: value('active_file'),
    inactiveFile: value('inactive_file'),
  };
}

/** Parses a pressure file; undefined if the kernel has none. */
export function parsePressure(text: string | undefined): Pressure | undefined {
  if (text === undefined) return undefined;
  const line = (kind: string): PressureLine => {
    const match = new RegExp(
      `^${kind} avg10=([\\d.]+) avg60=([\\d.]+) avg300=([\\d.]+) total=(\\d+)`,
      'm',
    ).exec(text);
    const [, avg10 = '0', avg60 = '0', avg300 = '0', total = '0'] = match ?? [];
    return {
      avg10: Number(avg10),
      avg60: Number(avg60),
      avg300: Number(avg300),
      total: BigInt(total) * 1000n,
    };
  };
  return { some: line('some'), full: line('full') };
}

function positive(value: bigint): bigint {
  return value < 0n ? 0n : value;
}

function number1(text: string | undefined): bigint | undefined {
  return text !== undefined && /^\d+$/.test(text) ? BigInt(text) : undefined;
}

function number(text: string | undefined): bigint {
  return number1(text) ?? 0n;
}

function limit(text: string | undefined): bigint {
  const value = number(text);
  return value >= noLimit ? 0n : value;
}
