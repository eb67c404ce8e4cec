/** /stats/summary: what the node and its pods use, in the shape of k8s.io/kubelet/pkg/apis/stats/v1alpha1. */
import type {
  ContainerStats,
  CpuUsage,
  MemoryUsage as CriMemory,
  NetworkUsage,
  UInt64Value,
} from '#contracts/cri/runtime_pb.ts';
import type { Pod } from '#contracts/kubernetes/types.ts';
import {
  type DiskUsage,
  groupCpu,
  groupMemory,
  interfaceTraffic,
  type MemoryUsage,
  machineMemory,
  processCounts,
} from './machine-usage.ts';
import { ephemeralStorage, layerUsage, type PodUsage } from './pod-usage.ts';
import type { StatsDeps } from './stats.ts';
import type { VolumeUsage } from './volume-usage.ts';

type Json = Record<string, unknown>;

/** What a summary is made from. */
export interface SummaryFacts {
  usages: readonly PodUsage[];
  /** Volumes by pod UID. */
  volumes: ReadonlyMap<string, readonly VolumeUsage[]>;
  nodeDisk: DiskUsage;
  imageDisk: DiskUsage;
  imageUsed: number;
  imageInodes: number;
  /** RFC 3339. */
  now: string;
}

/** Makes the summary. */
export function summary(deps: StatsDeps, facts: SummaryFacts, options: { onlyCpuAndMemory: boolean }): Json {
  return {
    node: nodeStats(deps, facts, options),
    pods: facts.usages.map((usage) => podStats(deps, usage, facts, options)),
  };
}

function nodeStats(
  deps: StatsDeps,
  facts: SummaryFacts,
  { onlyCpuAndMemory }: { onlyCpuAndMemory: boolean },
): Json {
  const { now, nodeDisk, imageDisk } = facts;
  const { layout, memoryCapacity } = deps;
  const base = {
    nodeName: deps.nodeName,
    systemContainers: systemContainers(deps, now),
    startTime: new Date(deps.bootedAt).toISOString(),
    cpu: groupCpuStats(groupCpu(layout, '/'), deps.rate('node', groupCpu(layout, '/')), now),
    memory: memoryStats(machineMemory(layout, memoryCapacity), now),
  };
  if (onlyCpuAndMemory) return base;
  const { max, current } = processCounts();
  const interfaces = interfaceTraffic();
  const image = { ...diskStats(imageDisk, now), usedBytes: facts.imageUsed, inodesUsed: facts.imageInodes };
  return {
    ...base,
    network: { time: now, ...interfaces[0], interfaces },
    fs: diskStats(nodeDisk, now),
    runtime: { imageFs: image, containerFs: image },
    rlimit: { time: now, maxpid: max, curproc: current },
    swap: { time: now, swapAvailableBytes: deps.swap().free, swapUsageBytes: deps.swap().used },
  };
}

function systemContainers(deps: StatsDeps, now: string): Json[] {
  const rows: Json[] = [];
  const memory = groupMemory(deps.layout, deps.podsCgroup(), deps.memoryCapacity);
  const cpu = groupCpu(deps.layout, deps.podsCgroup());
  if (memory !== undefined)
    rows.push({
      name: 'pods',
      startTime: new Date(deps.bootedAt).toISOString(),
      cpu: groupCpuStats(cpu, deps.rate('pods', cpu), now),
      memory: memoryStats(memory, now),
    });
  return rows;
}

function podStats(
  deps: StatsDeps,
  usage: PodUsage,
  facts: SummaryFacts,
  options: { onlyCpuAndMemory: boolean },
): Json {
  const { pod } = usage;
  const { now } = facts;
  const { name, namespace = 'default', uid = '' } = pod.metadata;
  const path = deps.podCgroup(pod);
  const cpu = groupCpu(deps.layout, path);
  const memory = groupMemory(deps.layout, path, deps.memoryCapacity);
  const base = {
    podRef: { name, namespace, uid },
    startTime: pod.status?.startTime,
    containers: usage.containers.map((container) => containerStats(deps, pod, container, facts, options)),
    cpu: cpu === undefined ? criCpu(usage.sandbox?.linux?.cpu) : groupCpuStats(cpu, deps.rate(uid, cpu), now),
    memory: memory === undefined ? criMemory(usage.sandbox?.linux?.memory) : memoryStats(memory, now),
  };
  if (options.onlyCpuAndMemory) return base;
  const ephemeral = ephemeralStorage(usage);
  const disk = (bytes: number, inodes: number) => ({
    ...diskStats(facts.nodeDisk, now),
    usedBytes: bytes,
    inodesUsed: inodes,
  });
  return {
    ...base,
    network: network(usage.sandbox?.linux?.network),
    volume: (facts.volumes.get(uid) ?? []).map((volume) => volumeStats(volume, namespace, now)),
    'ephemeral-storage': disk(ephemeral.bytes, ephemeral.inodes),
    process_stats: { process_count: number(usage.sandbox?.linux?.process?.processCount) },
    swap: { time: now, swapUsageBytes: 0 },
  };
}

function volumeStats({ name, figures, claim }: VolumeUsage, namespace: string, now: string): Json {
  const { available, capacity, used, inodesFree, inodes, inodesUsed, problem } = figures;
  return {
    time: now,
    availableBytes: available,
    capacityBytes: capacity,
    usedBytes: used,
    inodesFree,
    inodes,
    inodesUsed,
    name,
    pvcRef: claim === undefined ? undefined : { name: claim, namespace },
    volumeHealthStats: problem === undefined ? undefined : { abnormal: problem !== '' },
  };
}

function containerStats(
  deps: StatsDeps,
  pod: Pod,
  { name, stats, logs }: PodUsage['containers'][number],
  facts: SummaryFacts,
  { onlyCpuAndMemory }: { onlyCpuAndMemory: boolean },
): Json {
  const base = {
    name,
    startTime: startTime(pod, name),
    cpu: containerCpu(deps, stats),
    memory: criMemory(stats.memory),
  };
  if (onlyCpuAndMemory) return base;
  const layer = layerUsage(stats);
  return {
    ...base,
    rootfs: { ...diskStats(facts.imageDisk, facts.now), usedBytes: layer.bytes, inodesUsed: layer.inodes },
    logs: { ...diskStats(facts.nodeDisk, facts.now), usedBytes: logs.bytes, inodesUsed: logs.inodes },
  };
}

/** When the container's current run began, as the status says. */
export function startTime(pod: Pod, container: string): string | undefined {
  const all = [...(pod.status?.containerStatuses ?? []), ...(pod.status?.initContainerStatuses ?? [])];
  return all.find((status) => status.name === container)?.state?.running?.startedAt;
}

function containerCpu(deps: StatsDeps, stats: ContainerStats): Json | undefined {
  const own = criCpu(stats.cpu);
  if (own === undefined || own.usageNanoCores !== undefined) return own;
  const total = Number(stats.cpu?.usageCoreNanoSeconds?.value ?? 0n);
  return { ...own, usageNanoCores: deps.rate(stats.attributes?.id ?? '', total) };
}

function criCpu(cpu: CpuUsage | undefined): Json | undefined {
  if (cpu === undefined) return undefined;
  const { timestamp, usageNanoCores, usageCoreNanoSeconds } = cpu;
  return {
    time: time(timestamp),
    usageNanoCores: number(usageNanoCores),
    usageCoreNanoSeconds: number(usageCoreNanoSeconds),
  };
}

function criMemory(memory: CriMemory | undefined): Json | undefined {
  if (memory === undefined) return undefined;
  return {
    time: time(memory.timestamp),
    availableBytes: number(memory.availableBytes),
    usageBytes: number(memory.usageBytes),
    workingSetBytes: number(memory.workingSetBytes),
    rssBytes: number(memory.rssBytes),
    pageFaults: number(memory.pageFaults),
    majorPageFaults: number(memory.majorPageFaults),
  };
}

function network(usage: NetworkUsage | undefined): Json | undefined {
  if (usage === undefined) return undefined;
  const one = (each: NonNullable<NetworkUsage['defaultInterface']>) => ({
    name: each.name,
    rxBytes: number(each.rxBytes),
    rxErrors: number(each.rxErrors),
    txBytes: number(each.txBytes),
    txErrors: number(each.txErrors),
  });
  const first = usage.defaultInterface === undefined ? {} : one(usage.defaultInterface);
  return { time: time(usage.timestamp), ...first, interfaces: usage.interfaces.map(one) };
}

function groupCpuStats(total: number | undefined, rate: number | undefined, now: string): Json {
  return { time: now, usageNanoCores: rate, usageCoreNanoSeconds: total };
}

function memoryStats(memory: MemoryUsage, now: string): Json {
  return {
    time: now,
    availableBytes: memory.available,
    usageBytes: memory.usage,
    workingSetBytes: memory.workingSet,
    rssBytes: memory.rss,
    pageFaults: memory.pageFaults,
    majorPageFaults: memory.majorPageFaults,
  };
}

function diskStats(disk: DiskUsage, now: string): Json {
  return {
    time: now,
    availableBytes: disk.available,
    capacityBytes: disk.capacity,
    usedBytes: disk.used,
    inodesFree: disk.inodesFree,
    inodes: disk.inodes,
    inodesUsed: disk.inodesUsed,
  };
}

function number(value: UInt64Value | undefined): number | undefined {
  return value === undefined ? undefined : Number(value.value);
}

/** RFC 3339 of nanoseconds since the epoch. */
function time(nanos: bigint): string {
  return new Date(Number(nanos / 1_000_000n)).toISOString();
}
