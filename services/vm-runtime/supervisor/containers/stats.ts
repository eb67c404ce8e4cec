/** What containers and the guest use. */
import type { MessageInitShape } from '@bufbuild/protobuf';
import type { ContainerStatsSchema, PodStatsSchema } from '#contracts/vm/supervisor_pb.ts';
import { nowNanos } from '#foundation/base/time.ts';
import type { GuestContainerStats, GuestStats } from '../../agent-client/types.ts';
import type { Core } from '../core.ts';
import { getLive } from './find.ts';

type ContainerFigures = MessageInitShape<typeof ContainerStatsSchema>;

/** Figures of one container, or of all that run, and of the guest. */
export async function stats(
  core: Core,
  id: string,
): Promise<{ containers: ContainerFigures[]; pod: MessageInitShape<typeof PodStatsSchema> }> {
  if (id !== '') getLive(core, id, 'tell figures of');
  const { agent } = await core.machine();
  const ids = id !== '' ? [id] : [...core.containers.values()].flatMap(({ record }) => live(record));
  const one = async (container: string) => {
    // One that ends meanwhile has no figures; that is no reason to fail the others'.
    const figures = await agent.containerStats(container).catch((error) => {
      if (id !== '') throw error;
    });
    return figures === undefined ? [] : [containerFigures(container, figures)];
  };
  const [pod, ...containers] = await Promise.all([agent.guestStats(), ...ids.map(one)]);
  return { containers: containers.flat(), pod: podFigures(pod) };
}

function live({ id, status }: { id: string; status: string }): string[] {
  return status === 'stopped' || status === 'creating' ? [] : [id];
}

function containerFigures(id: string, figures: GuestContainerStats): ContainerFigures {
  const nanos = (micros: number) => BigInt(Math.round(micros)) * 1000n;
  const whole = (value: number | undefined) => BigInt(Math.round(value ?? 0));
  return {
    id,
    at: nowNanos(),
    cpuUsage: nanos(figures.cpuUsageUsec),
    cpuUser: nanos(figures.cpuUserUsec),
    cpuSystem: nanos(figures.cpuSystemUsec),
    cpuThrottledPeriods: whole(figures.throttledPeriods),
    cpuThrottled: nanos(figures.throttledUsec),
    memoryUsage: whole(figures.memoryUsageBytes),
    memoryLimit: whole(figures.memoryLimitBytes),
    memoryStat: {
      anon: whole(figures.memoryRssBytes),
      inactive_file: whole(figures.memoryUsageBytes - figures.memoryWorkingSetBytes),
      pgfault: whole(figures.pageFaults),
      pgmajfault: whole(figures.majorPageFaults),
    },
    swapUsage: whole(figures.swapUsageBytes),
    oomKills: whole(figures.oomKills),
    processes: whole(figures.pids),
    processLimit: whole(figures.pidsLimit),
    readBytes: whole(figures.readBytes),
    writeBytes: whole(figures.writtenBytes),
  };
}

function podFigures(figures: GuestStats): MessageInitShape<typeof PodStatsSchema> {
  return {
    at: nowNanos(),
    memoryTotal: BigInt(figures.memoryTotalBytes),
    memoryAvailable: BigInt(figures.memoryAvailableBytes),
    cpuUsage: BigInt(Math.round(figures.cpuUsageUsec)) * 1000n,
    interfaces: figures.interfaces.map((one) => ({
      name: one.name,
      receivedBytes: BigInt(one.rxBytes),
      receivedPackets: BigInt(one.rxPackets),
      receiveErrors: BigInt(one.rxErrors),
      sentBytes: BigInt(one.txBytes),
      sentPackets: BigInt(one.txPackets),
      sendErrors: BigInt(one.txErrors),
    })),
  };
}
