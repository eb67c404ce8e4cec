/** The metrics of a pod: its interfaces' and its running containers'. */
import { statfsSync } from 'node:fs';
import type { MessageInitShape } from '@bufbuild/protobuf';
import type {
  ContainerMetricsSchema,
  MetricSchema,
  PodSandboxMetricsSchema,
} from '#contracts/cri/runtime_pb.ts';
import { nowNanos } from '#foundation/base/time.ts';
import { type CgroupLayout, cgroupProcesses, readCgroup } from '#foundation/linux/cgroups.ts';
import { isRunning } from '../../containers/lifecycle.ts';
import type { Container } from '../../containers/table.ts';
import type { SandboxView } from '../../ports.ts';
import type { StatsCore } from '../deps.ts';
import { usageOf } from '../machine.ts';
import { readInterfaces } from '../network.ts';
import { containersOf } from '../pod.ts';
import type { ContainerSample, MetricDefinition } from './definition.ts';
import { containerMetrics } from './descriptors.ts';
import { readDiskOperations } from './disk-operations.ts';
import { networkMetrics } from './network.ts';
import { countProcesses } from './process-counts.ts';

type Metric = MessageInitShape<typeof MetricSchema>;

/** A pod's metrics. */
export async function podMetrics(
  core: StatsCore,
  sandbox: SandboxView,
): Promise<MessageInitShape<typeof PodSandboxMetricsSchema>> {
  const { metadata } = sandbox.config;
  const pod = [metadata?.name ?? '', metadata?.namespace ?? ''];
  const interfaces =
    sandbox.namespaces.network === undefined ? [] : readInterfaces(sandbox.namespaces.network);
  const containers = await Promise.all(
    containersOf(core, sandbox.id).map((container) => containerMetricsOf(core, container, pod)),
  );
  return {
    podSandboxId: sandbox.id,
    metrics: valuesOf(networkMetrics, interfaces, [...pod, 'POD', sandbox.id, ''], nowNanos()),
    containerMetrics: containers.filter((one) => one !== undefined),
  };
}

async function containerMetricsOf(
  core: StatsCore,
  container: Container,
  pod: readonly string[],
): Promise<MessageInitShape<typeof ContainerMetricsSchema> | undefined> {
  const sample = await sampleOf(core, container);
  if (sample === undefined) return undefined;
  const { id, record, config } = container;
  const labels = [...pod, config.metadata?.name ?? '', id, record.image.name];
  return { containerId: id, metrics: valuesOf(containerMetrics, sample, labels, sample.now) };
}

function valuesOf<S>(
  definitions: readonly MetricDefinition<S>[],
  sample: S,
  common: readonly string[],
  timestamp: bigint,
): Metric[] {
  return definitions.flatMap((definition) =>
    definition.values(sample).map(({ labels = [], value }) => ({
      name: definition.name,
      timestamp,
      metricType: definition.type,
      labelValues: [...common, ...labels],
      value: { value },
    })),
  );
}

/** Reads everything about a running container once; undefined for others. */
async function sampleOf(core: StatsCore, container: Container): Promise<ContainerSample | undefined> {
  const { life, cgroupPath } = container.record;
  if (!isRunning(life)) return undefined;
  const usage = (await usageOf(core, container))?.usage;
  if (usage === undefined) return undefined;
  return {
    container,
    usage,
    disk: await diskOf(core, container.id),
    operations: readDiskOperations(core.cgroups, cgroupPath),
    hugepages: hugepagesOf(core.cgroups, cgroupPath),
    processes: countProcesses(cgroupProcesses(core.cgroups, cgroupPath), life.process.pid),
    limits: limitsOf(core.cgroups, cgroupPath),
    now: nowNanos(),
  };
}

async function diskOf(core: StatsCore, id: string): Promise<ContainerSample['disk']> {
  const usage = await core.images.rootUsage(id).catch(() => ({ bytes: 0n, inodes: 0n }));
  const { blocks, bsize, files, ffree } = statfsSync(core.rootsDirectory, { bigint: true });
  return {
    ...usage,
    device: core.rootsDirectory,
    limit: blocks * bsize,
    inodesFree: ffree,
    inodesTotal: files,
  };
}

function limitsOf(layout: CgroupLayout, path: string): ContainerSample['limits'] {
  const read = (controller: string, file: string) => readCgroup(layout, controller, path, file) ?? '';
  const number = (text: string | undefined) => (/^-?\d+$/.test(text ?? '') ? BigInt(text ?? '0') : 0n);
  if (layout.mode === 'unified') {
    const [quota, period] = read('cpu', 'cpu.max').split(' ');
    const weight = number(read('cpu', 'cpu.weight'));
    // The inverse of how runtimes turn shares (2 to 262144) into weights (1 to 10000).
    const cpuShares = weight === 0n ? 0n : 2n + ((weight - 1n) * 262142n) / 9999n;
    return {
      cpuPeriod: number(period),
      cpuQuota: number(quota),
      cpuShares,
      memoryReservation: number(read('memory', 'memory.low')),
    };
  }
  const reservation = number(read('memory', 'memory.soft_limit_in_bytes'));
  return {
    cpuPeriod: number(read('cpu', 'cpu.cfs_period_us')),
    cpuQuota: number(read('cpu', 'cpu.cfs_quota_us')),
    cpuShares: number(read('cpu', 'cpu.shares')),
    memoryReservation: reservation >= 1n << 62n ? 0n : reservation,
  };
}

/** Sizes of huge pages that machines of our architectures have. */
const pageSizes = ['2MB', '1GB'];

function hugepagesOf(layout: CgroupLayout, path: string): ContainerSample['hugepages'] {
  const [current, max] =
    layout.mode === 'unified' ? ['current', 'max'] : ['usage_in_bytes', 'max_usage_in_bytes'];
  return pageSizes.flatMap((size) => {
    const usage = readCgroup(layout, 'hugetlb', path, `hugetlb.${size}.${current}`);
    if (usage === undefined) return [];
    const most = readCgroup(layout, 'hugetlb', path, `hugetlb.${size}.${max}`) ?? '0';
    return [
      {
        size,
        usage: BigInt(usage),
        max: /^\d+$/.test(most) && layout.mode !== 'unified' ? BigInt(most) : BigInt(usage),
      },
    ];
  });
}
