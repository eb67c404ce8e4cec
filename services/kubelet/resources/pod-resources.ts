/**
 * The cgroups of pods: `kubepods` with everything pods may use, below it a level for Burstable and one for
 * BestEffort, and in these one cgroup for each pod, in which the runtime puts the containers.
 */
import { existsSync, readdirSync } from 'node:fs';
import type { Pod } from '#contracts/kubernetes/types.ts';
import { SkiffError } from '#foundation/base/errors.ts';
import type { Logger } from '#foundation/base/log.ts';
import {
  type CgroupLimits,
  cgroupExists,
  makeCgroup,
  setCgroupLimits,
} from '#foundation/linux/cgroup-limits.ts';
import {
  type CgroupLayout,
  cgroupDirectory,
  killCgroup,
  readCgroup,
  removeCgroup,
  removeEmptyCgroup,
} from '#foundation/linux/cgroups.ts';
import type { PodResources } from '../ports.ts';
import { amountOf } from './amounts.ts';
import {
  type CgroupDriver,
  type CgroupName,
  cgroupPath,
  podCgroup,
  podUidFrom,
  qosCgroup,
} from './cgroup-names.ts';
import { kernelPageSize, podTotals, quotaFor, sharesFor } from './linux-resources.ts';
import { type MemoryQos, podReservation } from './memory-qos.ts';
import { type QosClass, qosOf } from './qos.ts';

/** What pod cgroups need. */
export interface PodResourcesDeps {
  layout: CgroupLayout;
  /** The runtime's driver decides; asked when `start` runs. */
  driver: () => CgroupDriver;
  /** The parts of the pods' root: `['kubepods']`. */
  root: CgroupName;
  /** `failCgroupV1`: refuse a machine with cgroup version 1. */
  failCgroupV1: boolean;
  /** What all pods together may use: capacity less what is reserved. 0 for no limit. */
  nodeLimits: () => { milliCpu: number; memory: number; pids: number };
  /** `cpuCFSQuota` and `cpuCFSQuotaPeriod` (microseconds). */
  enforceCpuLimits: boolean;
  cpuPeriod: number;
  /** `podPidsLimit`; 0 for none. */
  podPids: number;
  /** As Kubernetes writes them: `2Mi`. */
  hugePageSizes: readonly string[];
  /** MemoryQoS; undefined for off. */
  memoryQos?: MemoryQos;
  /** Limits the cgroups of the system to what is reserved for it, if that is to be enforced. @throws SkiffError. */
  limitReserved?: () => void;
  log: Logger;
}

/**
 * Of so many quick looks for pod cgroups one goes through every hierarchy: what a removal that failed half-way left
 * there is found within half a minute, and a dozen hierarchies need not be read every two seconds.
 */
const everywhereEach = 15;

const levels: readonly QosClass[] = ['Guaranteed', 'Burstable', 'BestEffort'];

/** Makes the manager of pod cgroups. */
export function createPodResources(deps: PodResourcesDeps): PodResources {
  const { layout, root } = deps;
  let quickLooks = 0;
  const pathOf = (name: CgroupName) => cgroupPath(name, deps.driver());
  const podPath = (pod: Pod) => pathOf(podCgroup(root, pod));
  const existing = (uid: string) =>
    levels
      .map((level) => pathOf([...qosCgroup(root, level), `pod${uid}`]))
      .filter((path) => anyDirectory(layout, path) !== undefined);
  return {
    async start() {
      checkVersion(deps);
      deps.limitReserved?.();
      makeCgroup(layout, pathOf(root));
      const { milliCpu, memory, pids } = deps.nodeLimits();
      setCgroupLimits(layout, pathOf(root), { cpuShares: sharesFor(milliCpu), memory, pids });
      for (const level of ['Burstable', 'BestEffort'] as const) {
        makeCgroup(layout, pathOf(qosCgroup(root, level)));
        setCgroupLimits(layout, pathOf(qosCgroup(root, level)), { cpuShares: sharesFor(0) });
      }
    },
    stop() {
      // The kernel refuses to remove a group that has others in it: those of pods with containers stay. One without is
      // what a runtime made again for a container that was given up, when its pod was gone; a pod that lives on after
      // all gets another.
      const pods = levels.flatMap((level) =>
        podsIn(deps, pathOf(qosCgroup(root, level)), true).map((uid) =>
          pathOf([...qosCgroup(root, level), `pod${uid}`]),
        ),
      );
      const qos = levels.map((level) => pathOf(qosCgroup(root, level)));
      for (const path of [...pods, ...qos, pathOf(root)]) removeEmptyCgroup(layout, path);
    },
    async createPodCgroup(pod) {
      if (cgroupExists(layout, podPath(pod))) return;
      makeCgroup(layout, podPath(pod));
      setCgroupLimits(layout, podPath(pod), podLimits(pod, deps));
    },
    podCgroupExists: (pod) => cgroupExists(layout, podPath(pod)),
    async updatePodCgroup(pod, how) {
      const limits = podLimits(pod, deps);
      setCgroupLimits(layout, podPath(pod), how === 'exact' ? limits : growing(layout, podPath(pod), limits));
    },
    async removePodCgroup(uid) {
      for (const path of existing(uid)) {
        await killCgroup(layout, path, AbortSignal.timeout(10_000));
        await removeCgroup(layout, path);
      }
    },
    async podCgroups(how) {
      const found = new Set<string>();
      quickLooks = how === 'quick' ? quickLooks + 1 : 0;
      const everywhere = quickLooks % everywhereEach === 0;
      for (const level of levels)
        for (const uid of podsIn(deps, pathOf(qosCgroup(root, level)), everywhere)) found.add(uid);
      return [...found];
    },
    async updateQos(pods) {
      const burstable = pods.filter((pod) => qosOf(pod) === 'Burstable');
      const milliCpu = burstable.reduce((sum, pod) => sum + podTotals(pod).milliCpuRequest, 0);
      const path = pathOf(qosCgroup(root, 'Burstable'));
      if (cgroupExists(layout, path)) setCgroupLimits(layout, path, { cpuShares: sharesFor(milliCpu) });
      reserveMemory(deps, pathOf, pods);
    },
    memoryUsage(uid) {
      const [path] = existing(uid);
      if (path === undefined) return undefined;
      const file = layout.mode === 'unified' ? 'memory.current' : 'memory.usage_in_bytes';
      const text = readCgroup(layout, 'memory', path, file);
      return text === undefined ? undefined : Number(text);
    },
  };
}

/** The original refuses version 1 by default since 1.35; machines that still have it are served with a warning. */
function checkVersion({ layout, failCgroupV1, log }: PodResourcesDeps): void {
  if (layout.mode === 'unified') return;
  if (failCgroupV1)
    throw new SkiffError(
      'FAILED_PRECONDITION',
      'kubelet is configured to not run on a host using cgroup v1 (failCgroupV1: true). Boot with systemd.unified_cgroup_hierarchy=1, or set failCgroupV1 to false',
    );
  log.warn(
    { mode: layout.mode },
    'this machine uses cgroup version 1, which Kubernetes is about to drop: resource limits work, memory QoS and swap limits do not',
  );
}

/** Of limits those that are larger than the ones in force. 0 stands for no limit. */
function growing(
  layout: CgroupLayout,
  path: string,
  { cpuQuota, cpuPeriod, memory }: CgroupLimits,
): CgroupLimits {
  const unified = layout.mode === 'unified';
  const number = (controller: string, file: string) => {
    const text = readCgroup(layout, controller, path, file)?.trim().split(' ')[0];
    // Version 2 writes "max", version 1 a negative quota, and a memory limit that no machine has.
    const value = text === undefined || text === 'max' ? 0 : Number(text);
    return value < 0 || value > 2 ** 62 ? 0 : value;
  };
  const isMore = (wanted: number | undefined, held: number) =>
    wanted !== undefined && held !== 0 && (wanted === 0 || wanted > held);
  const heldMemory = number('memory', unified ? 'memory.max' : 'memory.limit_in_bytes');
  const heldQuota = number('cpu', unified ? 'cpu.max' : 'cpu.cfs_quota_us');
  return {
    ...(isMore(memory, heldMemory) ? { memory } : {}),
    ...(isMore(cpuQuota, heldQuota) ? { cpuPeriod, cpuQuota } : {}),
  };
}

/** What pods keep when the machine runs short, their common groups must keep too. */
function reserveMemory(
  { layout, root, memoryQos }: PodResourcesDeps,
  pathOf: (name: CgroupName) => string,
  pods: readonly Pod[],
): void {
  if (memoryQos?.reserves !== true) return;
  const sum = (qos: QosClass) =>
    pods.reduce((bytes, pod) => bytes + (qosOf(pod) === qos ? podTotals(pod).memoryRequest : 0), 0);
  const memoryLow = sum('Burstable');
  setCgroupLimits(layout, pathOf(root), { memoryMin: sum('Guaranteed'), memoryLow });
  const burstable = pathOf(qosCgroup(root, 'Burstable'));
  if (cgroupExists(layout, burstable)) setCgroupLimits(layout, burstable, { memoryLow });
}

/** The limits of a pod's cgroup. A Burstable pod is limited only if every container is. */
export function podLimits(
  pod: Pod,
  settings: Pick<
    PodResourcesDeps,
    'enforceCpuLimits' | 'cpuPeriod' | 'podPids' | 'hugePageSizes' | 'memoryQos'
  >,
): CgroupLimits {
  const totals = podTotals(pod);
  const bestEffort = qosOf(pod) === 'BestEffort';
  return {
    cpuShares: sharesFor(bestEffort ? 0 : totals.milliCpuRequest),
    cpuPeriod: settings.enforceCpuLimits ? settings.cpuPeriod : undefined,
    cpuQuota: settings.enforceCpuLimits ? quotaFor(totals.milliCpuLimit, settings.cpuPeriod) : undefined,
    memory: totals.memoryLimit,
    ...podReservation(pod, totals.memoryRequest, settings.memoryQos),
    pids: settings.podPids,
    hugePages: new Map(settings.hugePageSizes.map((size) => [kernelPageSize(size), hugePagesOf(pod, size)])),
  };
}

function hugePagesOf(pod: Pod, size: string): number {
  const name = `hugepages-${size}`;
  const own = pod.spec.resources?.limits?.[name];
  if (own !== undefined) return amountOf(own);
  return pod.spec.containers.reduce(
    (sum, container) => sum + amountOf(container.resources?.limits?.[name] ?? 0),
    0,
  );
}

/** The directory of a group in the first hierarchy that has it. */
function anyDirectory(layout: CgroupLayout, path: string): string | undefined {
  const controllers = layout.mode === 'unified' ? ['cpu'] : [...layout.v1.keys()];
  return controllers
    .map((controller) => cgroupDirectory(layout, controller, path))
    .find((directory) => directory !== undefined && existsSync(directory));
}

function podsIn({ layout, driver }: PodResourcesDeps, path: string, everywhere: boolean): string[] {
  const controllers = layout.mode === 'unified' ? ['cpu'] : [...layout.v1.keys()];
  const main = controllers.includes('memory') ? ['memory'] : controllers;
  return (everywhere ? controllers : main).flatMap((controller) => {
    const directory = cgroupDirectory(layout, controller, path);
    if (directory === undefined || !existsSync(directory)) return [];
    return readdirSync(directory)
      .map((name) => podUidFrom(name, driver()))
      .filter((uid) => uid !== undefined);
  });
}
