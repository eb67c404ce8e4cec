/** CPU and memory of containers and pods in the kernel's terms (cgroup v1 names, which the CRI uses too). */
import type { MessageInitShape } from '@bufbuild/protobuf';
import type { LinuxContainerResourcesSchema } from '#contracts/cri/runtime_pb.ts';
import type { Pod, ResourceRequirements } from '#contracts/kubernetes/types.ts';
import type { AnyContainer } from '../ports.ts';
import { amountOf, milliCpuOf } from './amounts.ts';
import { containerMemoryQos, type MemoryQos } from './memory-qos.ts';
import { isCritical, oomScoreAdj, qosOf } from './qos.ts';

/** cpu.shares: bounds of the kernel, and a whole CPU. */
const minShares = 2;
const maxShares = 262_144;
const sharesPerCpu = 1024;
/** Microseconds: the smallest quota the kernel takes. */
const minQuota = 1000;

/** What of the machine and the configuration enters a container's resources. */
export interface ResourceSettings {
  /** Bytes of memory of the machine. */
  memoryCapacity: number;
  /** Bytes of swap of the machine. */
  swapCapacity: number;
  cgroupVersion: 1 | 2;
  /** `cpuCFSQuota`: whether CPU limits are enforced. */
  enforceCpuLimits: boolean;
  /** `cpuCFSQuotaPeriod` in microseconds. */
  cpuPeriod: number;
  /** `memorySwap.swapBehavior`. */
  swapBehavior: 'NoSwap' | 'LimitedSwap';
  singleProcessOomKill: boolean;
  /** Sizes the kernel offers, as Kubernetes writes them: `2Mi`. */
  hugePageSizes: readonly string[];
  /** MemoryQoS; undefined for off. */
  memoryQos?: MemoryQos;
}

/** cpu.shares for thousandths of a CPU. */
export function sharesFor(milliCpu: number): number {
  return Math.min(maxShares, Math.max(minShares, Math.floor((milliCpu * sharesPerCpu) / 1000)));
}

/** cpu.cfs_quota_us for thousandths of a CPU; 0 for no limit. */
export function quotaFor(milliCpu: number, period: number): number {
  return milliCpu === 0 ? 0 : Math.max(minQuota, Math.floor((milliCpu * period) / 1000));
}

/** The resources of a container for CreateContainer and UpdateContainerResources. */
export function linuxResources(
  pod: Pod,
  container: AnyContainer,
  settings: ResourceSettings,
): MessageInitShape<typeof LinuxContainerResourcesSchema> {
  const limits = container.resources?.limits ?? {};
  const requests = container.resources?.requests ?? {};
  const cpuLimit = limits.cpu === undefined ? podLimit(pod, 'cpu', milliCpuOf) : milliCpuOf(limits.cpu);
  const cpuRequest = requests.cpu === undefined ? milliCpuOf(limits.cpu ?? 0) : milliCpuOf(requests.cpu);
  const memoryLimit =
    limits.memory === undefined ? podLimit(pod, 'memory', amountOf) : amountOf(limits.memory);
  const v2 = settings.cgroupVersion === 2;
  const unified: Record<string, string> = {};
  if (v2 && !settings.singleProcessOomKill) unified['memory.oom.group'] = '1';
  if (v2 && settings.memoryQos !== undefined)
    Object.assign(unified, containerMemoryQos(pod, container, settings.memoryQos));
  return {
    cpuPeriod: settings.enforceCpuLimits ? BigInt(settings.cpuPeriod) : 0n,
    cpuQuota: settings.enforceCpuLimits ? BigInt(quotaFor(cpuLimit, settings.cpuPeriod)) : 0n,
    cpuShares: BigInt(sharesFor(cpuRequest)),
    memoryLimitInBytes: BigInt(memoryLimit),
    memorySwapLimitInBytes: BigInt(swapLimit(pod, container, memoryLimit, settings)),
    oomScoreAdj: BigInt(oomScoreAdj(pod, container, settings.memoryCapacity)),
    hugepageLimits: hugePages(limits, settings.hugePageSizes),
    unified,
  };
}

/** A container without a limit of its own may use what the pod may. */
function podLimit(pod: Pod, name: string, units: (quantity: string) => number): number {
  const limit = pod.spec.resources?.limits?.[name];
  return limit === undefined ? 0 : units(limit);
}

/**
 * Memory plus swap, as OCI and the CRI count it; equal to the memory limit for no swap. cgroup v1 gets 0, that is
 * nothing set, because its swap accounting is often compiled out or off.
 */
function swapLimit(
  pod: Pod,
  container: AnyContainer,
  memoryLimit: number,
  settings: ResourceSettings,
): number {
  if (settings.cgroupVersion === 1) return 0;
  if (settings.swapBehavior === 'NoSwap' || memoryLimit === 0) return memoryLimit;
  const request = amountOf(container.resources?.requests?.memory ?? container.resources?.limits?.memory ?? 0);
  const limited = qosOf(pod) === 'Burstable' && !isCritical(pod) && request > 0 && request !== memoryLimit;
  if (!limited) return memoryLimit;
  return memoryLimit + Math.floor((request / settings.memoryCapacity) * settings.swapCapacity);
}

/** All sizes are sent, so that a container that asked for none gets none. */
function hugePages(
  limits: NonNullable<ResourceRequirements['limits']>,
  sizes: readonly string[],
): { pageSize: string; limit: bigint }[] {
  return sizes.map((size) => ({
    pageSize: kernelPageSize(size),
    limit: BigInt(amountOf(limits[`hugepages-${size}`] ?? 0)),
  }));
}

/** The kernel writes `2MB` where Kubernetes writes `2Mi`. */
export function kernelPageSize(size: string): string {
  return size.replace(/([KMG])i$/, '$1B');
}

/** What a pod as a whole asks for and may use. */
export interface PodTotals {
  milliCpuRequest: number;
  memoryRequest: number;
  /** 0 for no limit. */
  milliCpuLimit: number;
  memoryLimit: number;
}

/**
 * Sums a pod's resources: containers and sidecars together, or the largest init container with the sidecars that
 * run before it, whichever is more; pod-level values win; overhead comes on top (scheduling's own rule).
 */
export function podTotals(pod: Pod): PodTotals {
  const limited = (name: string) => pod.spec.resources?.limits?.[name] !== undefined || allLimited(pod, name);
  return {
    milliCpuRequest: podSum(pod, 'requests', 'cpu', milliCpuOf),
    memoryRequest: podSum(pod, 'requests', 'memory', amountOf),
    milliCpuLimit: limited('cpu') ? podSum(pod, 'limits', 'cpu', milliCpuOf) : 0,
    memoryLimit: limited('memory') ? podSum(pod, 'limits', 'memory', amountOf) : 0,
  };
}

/** What a pod as a whole asks for of any resource: milliCPU, bytes, pieces. */
export function podRequest(pod: Pod, name: string): number {
  return podSum(pod, 'requests', name, name === 'cpu' ? milliCpuOf : amountOf);
}

function podSum(
  pod: Pod,
  side: 'requests' | 'limits',
  name: string,
  units: (quantity: string) => number,
): number {
  const own = pod.spec.resources?.[side]?.[name];
  const base = own === undefined ? containerSum(pod, side, name, units) : units(own);
  const overhead = pod.spec.overhead?.[name];
  // Overhead does not turn "no limit" into one.
  return overhead === undefined || (side === 'limits' && base === 0) ? base : base + units(overhead);
}

function containerSum(
  pod: Pod,
  side: 'requests' | 'limits',
  name: string,
  units: (quantity: string) => number,
): number {
  const value = (resources: ResourceRequirements | undefined) => {
    const stated = resources?.[side]?.[name] ?? (side === 'requests' ? resources?.limits?.[name] : undefined);
    return stated === undefined ? 0 : units(stated);
  };
  let sidecars = 0;
  let peak = 0;
  for (const container of pod.spec.initContainers ?? []) {
    if (container.restartPolicy === 'Always') sidecars += value(container.resources);
    peak = Math.max(
      peak,
      container.restartPolicy === 'Always' ? sidecars : sidecars + value(container.resources),
    );
  }
  const regular = pod.spec.containers.reduce((sum, container) => sum + value(container.resources), sidecars);
  return Math.max(peak, regular);
}

/** Whether every container declares a limit: only then has the pod one. */
function allLimited(pod: Pod, name: string): boolean {
  const all = [...pod.spec.containers, ...(pod.spec.initContainers ?? [])];
  return all.every((container) => container.resources?.limits?.[name] !== undefined);
}
