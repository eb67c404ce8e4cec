/** Statistics of a container, in the CRI's form. */
import type { MessageInitShape } from '@bufbuild/protobuf';
import type {
  ContainerStatsSchema,
  CpuUsageSchema,
  IoUsageSchema,
  MemoryUsageSchema,
  PsiStatsSchema,
  SwapUsageSchema,
} from '#contracts/cri/runtime_pb.ts';
import { nowNanos } from '#foundation/base/time.ts';
import { hasProcess } from '../containers/lifecycle.ts';
import type { Container } from '../containers/table.ts';
import type { StatsCore } from './deps.ts';
import { usageOf } from './machine.ts';
import { type CgroupUsage, type Pressure, readCpuUsage } from './usage.ts';

/** A container's statistics. One that has ended has attributes and disk usage only. */
export async function containerStats(
  core: StatsCore,
  container: Container,
): Promise<MessageInitShape<typeof ContainerStatsSchema>> {
  const { id, record, config } = container;
  const timestamp = nowNanos();
  const used = hasProcess(record.life) ? await usageOf(core, container) : undefined;
  const disk = await diskUsage(core, id);
  return {
    attributes: { id, metadata: config.metadata, labels: config.labels, annotations: config.annotations },
    ...(used === undefined ? {} : cgroupStats(core, record.cgroupPath, used.usage, timestamp, used.cpuAgain)),
    writableLayer: {
      timestamp,
      fsId: { mountpoint: core.rootsDirectory },
      usedBytes: { value: disk.bytes },
      inodesUsed: { value: disk.inodes },
    },
  };
}

/** A root that is being removed has no usage; that is no reason to fail the statistics of all others. */
async function diskUsage(core: StatsCore, id: string): Promise<{ bytes: bigint; inodes: bigint }> {
  return core.images.rootUsage(id).catch(() => ({ bytes: 0n, inodes: 0n }));
}

/** The parts of a group's statistics that containers and pods share. */
export function cgroupStats(
  core: StatsCore,
  path: string,
  usage: CgroupUsage,
  timestamp: bigint,
  cpuAgain = () => readCpuUsage(core.cgroups, path),
): {
  cpu?: MessageInitShape<typeof CpuUsageSchema>;
  memory?: MessageInitShape<typeof MemoryUsageSchema>;
  swap?: MessageInitShape<typeof SwapUsageSchema>;
  io?: MessageInitShape<typeof IoUsageSchema>;
} {
  const { cpu, memory, psi } = usage;
  const rate = cpu === undefined ? undefined : core.sampler.rate(path, cpu.usage, cpuAgain);
  return {
    ...(cpu === undefined
      ? {}
      : {
          cpu: {
            timestamp,
            usageCoreNanoSeconds: { value: cpu.usage },
            ...(rate === undefined ? {} : { usageNanoCores: { value: rate } }),
            ...pressureOf(psi.cpu),
          },
        }),
    ...(memory === undefined
      ? {}
      : {
          memory: {
            timestamp,
            workingSetBytes: { value: memory.workingSet },
            availableBytes: { value: available(memory.limit, memory.workingSet) },
            usageBytes: { value: memory.usage },
            rssBytes: { value: memory.rss },
            pageFaults: { value: memory.pageFaults },
            majorPageFaults: { value: memory.majorPageFaults },
            ...pressureOf(psi.memory),
          },
          swap: {
            timestamp,
            swapUsageBytes: { value: memory.swap },
            swapAvailableBytes: { value: available(memory.swapLimit, memory.swap) },
          },
        }),
    ...(psi.io === undefined ? {} : { io: { timestamp, ...pressureOf(psi.io) } }),
  };
}

function available(limit: bigint, used: bigint): bigint {
  return limit > used ? limit - used : 0n;
}

function pressureOf(pressure: Pressure | undefined): { psi?: MessageInitShape<typeof PsiStatsSchema> } {
  if (pressure === undefined) return {};
  const data = ({ avg10, avg60, avg300, total }: Pressure['some']) => ({
    Avg10: avg10,
    Avg60: avg60,
    Avg300: avg300,
    Total: total,
  });
  return { psi: { Some: data(pressure.some), Full: data(pressure.full) } };
}
