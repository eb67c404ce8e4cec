/** A container's figures in runc's form of `events --stats`. */
import type { ContainerStats } from '#contracts/vm/supervisor_pb.ts';

/** The `stats` event of a container. Nanoseconds and bytes; JSON numbers, as runc has them. */
export function statsEvent(stats: ContainerStats): object {
  const number = Number;
  const stat = Object.fromEntries(
    Object.entries(stats.memoryStat).map(([name, value]) => [name, number(value)]),
  );
  return {
    type: 'stats',
    id: stats.id,
    data: {
      cpu: {
        usage: {
          total: number(stats.cpuUsage),
          percpu: [],
          percpu_kernel: null,
          percpu_user: null,
          kernel: number(stats.cpuSystem),
          user: number(stats.cpuUser),
        },
        throttling: {
          periods: number(stats.cpuPeriods),
          throttledPeriods: number(stats.cpuThrottledPeriods),
          throttledTime: number(stats.cpuThrottled),
        },
      },
      cpuset: {},
      memory: {
        cache: stat.file ?? 0,
        usage: {
          limit: number(stats.memoryLimit),
          usage: number(stats.memoryUsage),
          max: number(stats.memoryMaxUsage),
          failcnt: number(stats.oomKills),
        },
        swap: { limit: 0, usage: number(stats.swapUsage), failcnt: 0 },
        raw: stat,
      },
      pids: { current: number(stats.processes), limit: number(stats.processLimit) },
      blkio: {
        ioServiceBytesRecursive: [
          { major: 0, minor: 0, op: 'Read', value: number(stats.readBytes) },
          { major: 0, minor: 0, op: 'Write', value: number(stats.writeBytes) },
        ],
      },
      hugetlb: {},
      intel_rdt: {},
      network_interfaces: null,
    },
  };
}
