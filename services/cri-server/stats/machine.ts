/** Usage of containers wherever they are: in a cgroup of this kernel, or of the kernel of their pod's VM. */
import type { MachineUsage } from '#contracts/oci/pod-runtime.ts';
import type { Container } from '../containers/table.ts';
import type { StatsCore } from './deps.ts';
import { type CgroupUsage, readCpuUsage, readUsage } from './usage.ts';

/** A container's usage, and how its CPU time is read again; undefined if it uses nothing. */
export async function usageOf(
  core: StatsCore,
  { id, record }: Container,
): Promise<{ usage: CgroupUsage; cpuAgain: () => bigint | undefined } | undefined> {
  const { cgroups } = core;
  const pods = core.pods?.(record.runtime);
  if (pods === undefined) {
    const usage = readUsage(cgroups, record.cgroupPath);
    return usage && { usage, cpuAgain: () => readCpuUsage(cgroups, record.cgroupPath) };
  }
  const usage = await pods.usage(id);
  if (usage === undefined) return undefined;
  let latest: bigint | undefined = usage.cpu;
  // The answer comes in time for the next look.
  const cpuAgain = () => {
    const known = latest;
    void pods.usage(id).then(
      (next) => {
        latest = next?.cpu;
      },
      () => {},
    );
    return known;
  };
  return { usage: cgroupUsageOf(usage), cpuAgain };
}

/** In the form that a cgroup's files are brought to; what a guest does not tell is 0. */
function cgroupUsageOf(usage: MachineUsage): CgroupUsage {
  return {
    cpu: {
      usage: usage.cpu,
      user: usage.cpuUser,
      system: usage.cpuSystem,
      periods: 0n,
      throttledPeriods: usage.throttledPeriods,
      throttled: usage.throttled,
    },
    memory: {
      usage: usage.memory,
      workingSet: usage.workingSet,
      rss: usage.rss,
      cache: usage.memory - usage.rss,
      mappedFile: 0n,
      kernel: 0n,
      swap: usage.swap,
      limit: usage.memoryLimit,
      swapLimit: 0n,
      pageFaults: usage.pageFaults,
      majorPageFaults: usage.majorPageFaults,
      maxUsage: 0n,
      failures: 0n,
      oomKills: usage.oomKills,
      activeFile: 0n,
      inactiveFile: usage.memory - usage.workingSet,
    },
    processes: Number(usage.processes),
    threads: usage.processes,
    threadLimit: usage.processLimit,
    psi: {},
  };
}
