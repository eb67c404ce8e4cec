/** Figures of the guest, read from what its kernel says. What is missing or nonsense counts as 0. */
import type { Files } from '#contracts/vm/agent_pb.ts';
import type { GuestContainerStats, GuestInterfaceStats, GuestStats } from './types.ts';

const maxInterfaces = 64;

/** Reads files by name; at most those that were asked for are there. */
function filesOf(files: Files | undefined): (name: string) => string {
  const texts = new Map(
    files?.files.map(({ name, content }) => [name, Buffer.from(content).toString('latin1')]),
  );
  return (name) => texts.get(name) ?? '';
}

/** A number that stands for an amount. */
function amount(text: string | undefined): number {
  const value = Number(text);
  return Number.isFinite(value) && value > 0 ? value : 0;
}

/** `max` is no limit. */
function limit(text: string): number | undefined {
  return /^\d+/.test(text) ? amount(text) : undefined;
}

/** Lines of `key value`, or `key: value unit`. */
function pairs(text: string): (key: string) => number {
  const values = new Map(
    [...text.matchAll(/^([\w()]+):?\s+(\d+)/gm)].map(([, key = '', value]) => [key, amount(value)]),
  );
  return (key) => values.get(key) ?? 0;
}

/** A container's figures from its cgroup (admin-guide/cgroup-v2). */
export function containerStats(files: Files | undefined): GuestContainerStats {
  const file = filesOf(files);
  const [cpu, memory, events] = [
    pairs(file('cpu.stat')),
    pairs(file('memory.stat')),
    pairs(file('memory.events')),
  ];
  const usage = amount(file('memory.current'));
  return {
    cpuUsageUsec: cpu('usage_usec'),
    cpuUserUsec: cpu('user_usec'),
    cpuSystemUsec: cpu('system_usec'),
    throttledPeriods: cpu('nr_throttled'),
    throttledUsec: cpu('throttled_usec'),
    memoryUsageBytes: usage,
    memoryWorkingSetBytes: Math.max(0, usage - memory('inactive_file')),
    memoryRssBytes: memory('anon'),
    memoryLimitBytes: limit(file('memory.max')),
    swapUsageBytes: amount(file('memory.swap.current')),
    pageFaults: memory('pgfault'),
    majorPageFaults: memory('pgmajfault'),
    oomKills: events('oom_kill'),
    pids: amount(file('pids.current')),
    pidsLimit: limit(file('pids.max')),
    readBytes: sumOf(file('io.stat'), 'rbytes'),
    writtenBytes: sumOf(file('io.stat'), 'wbytes'),
  };
}

function sumOf(text: string, key: string): number {
  return [...text.matchAll(new RegExp(`\\b${key}=(\\d+)`, 'g'))].reduce(
    (sum, [, value]) => sum + amount(value),
    0,
  );
}

/** The guest's figures from its /proc (proc (5)). */
export function guestStats(files: Files | undefined): GuestStats {
  const file = filesOf(files);
  const memory = pairs(file('meminfo'));
  const kib = (key: string) => memory(key) * 1024;
  const total = kib('MemTotal');
  const used = Math.max(0, total - kib('MemFree'));
  return {
    uptimeMs: Math.round(amount(file('uptime').split(' ')[0]) * 1000),
    cpuUsageUsec: cpuUsage(file('stat')),
    memoryTotalBytes: total,
    memoryAvailableBytes: kib('MemAvailable'),
    memoryUsageBytes: used,
    memoryWorkingSetBytes: Math.max(0, used - kib('Inactive(file)')),
    processes: amount(file('loadavg').split(' ')[3]?.split('/')[1]),
    interfaces: interfaceStats(file('net/dev')),
  };
}

/** The `cpu` line is in hundredths of a second: user, nice, system, idle, iowait, irq, softirq, steal. */
function cpuUsage(stat: string): number {
  const fields = /^cpu\s+(.*)$/m.exec(stat)?.[1]?.split(/\s+/).map(amount) ?? [];
  const busy = [0, 1, 2, 5, 6, 7].reduce((sum, index) => sum + (fields[index] ?? 0), 0);
  return busy * 10_000;
}

/** No expression here may look at a text more than once: `\s` would match line ends, and a guest send nothing else. */
function interfaceStats(text: string): GuestInterfaceStats[] {
  const lines = [...text.matchAll(/^ *([\w.@-]{1,15}): *(\d[\d ]*)$/gm)].slice(0, maxInterfaces);
  return lines.map(([, name = '', figures = '']) => {
    const field = figures.trim().split(/\s+/).map(amount);
    const at = (index: number) => field[index] ?? 0;
    return {
      name,
      rxBytes: at(0),
      rxPackets: at(1),
      rxErrors: at(2),
      rxDropped: at(3),
      txBytes: at(8),
      txPackets: at(9),
      txErrors: at(10),
      txDropped: at(11),
    };
  });
}
