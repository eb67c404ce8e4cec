/**
 * What pods use: CPU, memory, processes and traffic from the runtime and the pods' cgroups, disk from the runtime
 * (writable layers) and the kubelet's own directories (logs, emptyDirs). Disk is measured at most once a minute.
 */
import { join } from 'node:path';
import type { CriClient } from '#contracts/cri/client.ts';
import type { ContainerStats, PodSandboxStats } from '#contracts/cri/runtime_pb.ts';
import type { Pod } from '#contracts/kubernetes/types.ts';
import { isSkiffError } from '#foundation/base/errors.ts';
import type { Clock } from '#foundation/base/time.ts';
import { podPaths, volumeDirectory } from '../volumes/pod-paths.ts';
import { type TreeUsage, treeUsage } from './directory-usage.ts';

/** What a container uses. Numbers that the runtime did not give are undefined. */
export interface ContainerUsage {
  name: string;
  id: string;
  stats: ContainerStats;
  logs: TreeUsage;
}

/** What a pod uses. */
export interface PodUsage {
  pod: Pod;
  /** As the runtime tells it; undefined where it does not know pods' statistics. */
  sandbox: PodSandboxStats | undefined;
  containers: ContainerUsage[];
  /** By volume name: local volumes on disk or in memory. */
  volumes: ReadonlyMap<string, TreeUsage>;
}

/** What the measuring needs. */
export interface PodUsageDeps {
  cri: Pick<CriClient['runtime'], 'listPodSandboxStats' | 'listContainerStats'>;
  clock: Clock;
  kubeletRoot: string;
  podLogs: string;
  /** `volumeStatsAggPeriod` in milliseconds. */
  diskPeriodMs: number;
}

/** Measures pods. */
export interface PodUsages {
  /** The usage of `pods` that run. @param disk whether logs and volumes are wanted too. */
  measure(pods: readonly Pod[], options: { disk: boolean }, signal?: AbortSignal): Promise<PodUsage[]>;
}

interface DiskFigures {
  at: number;
  logs: Map<string, TreeUsage>;
  volumes: Map<string, TreeUsage>;
}

const nothing: TreeUsage = { bytes: 0, inodes: 0 };

/** Makes the measuring. */
export function createPodUsages(deps: PodUsageDeps): PodUsages {
  const disks = new Map<string, DiskFigures>();
  return {
    async measure(pods, { disk }, signal) {
      const { sandboxes, containers } = await readStats(deps.cri, signal);
      const uids = new Set(pods.map((pod) => pod.metadata.uid ?? ''));
      for (const uid of disks.keys()) if (!uids.has(uid)) disks.delete(uid);
      const usages: PodUsage[] = [];
      for (const pod of pods) {
        const uid = pod.metadata.uid ?? '';
        const figures = disk ? await diskFigures(deps, disks, pod) : disks.get(uid);
        usages.push({
          pod,
          sandbox: sandboxes.get(uid),
          containers: newestOfEachName(containers.get(uid) ?? []).map((stats) => {
            const name = stats.attributes?.metadata?.name ?? '';
            return { name, id: stats.attributes?.id ?? '', stats, logs: figures?.logs.get(name) ?? nothing };
          }),
          volumes: figures?.volumes ?? new Map(),
        });
      }
      return usages;
    },
  };
}

interface RuntimeStats {
  sandboxes: Map<string, PodSandboxStats>;
  containers: Map<string, ContainerStats[]>;
}

async function readStats(cri: PodUsageDeps['cri'], signal?: AbortSignal): Promise<RuntimeStats> {
  const result: RuntimeStats = { sandboxes: new Map(), containers: new Map() };
  const add = (uid: string, stats: ContainerStats) =>
    result.containers.set(uid, [...(result.containers.get(uid) ?? []), stats]);
  try {
    const { stats } = await cri.listPodSandboxStats({}, { signal, timeoutMs: 30_000 });
    for (const each of stats) {
      const uid = each.attributes?.metadata?.uid ?? '';
      result.sandboxes.set(uid, each);
      for (const container of each.linux?.containers ?? []) add(uid, container);
    }
  } catch (error) {
    // Older runtimes have statistics of containers only.
    if (!isSkiffError(error, 'UNIMPLEMENTED')) throw error;
    const { stats } = await cri.listContainerStats({}, { signal, timeoutMs: 30_000 });
    for (const each of stats) add(each.attributes?.labels['io.kubernetes.pod.uid'] ?? '', each);
  }
  return result;
}

/** A container that was restarted leaves figures of its dead predecessors. */
function newestOfEachName(all: readonly ContainerStats[]): ContainerStats[] {
  const newest = new Map<string, ContainerStats>();
  for (const stats of all) {
    const { name = '', attempt = 0 } = stats.attributes?.metadata ?? {};
    const other = newest.get(name);
    if (other === undefined || attempt > (other.attributes?.metadata?.attempt ?? 0)) newest.set(name, stats);
  }
  return [...newest.values()];
}

async function diskFigures(
  deps: PodUsageDeps,
  disks: Map<string, DiskFigures>,
  pod: Pod,
): Promise<DiskFigures> {
  const { name, namespace = 'default', uid = '' } = pod.metadata;
  const known = disks.get(uid);
  const now = deps.clock.monotonic();
  if (known !== undefined && now - known.at < deps.diskPeriodMs) return known;
  const figures: DiskFigures = { at: now, logs: new Map(), volumes: new Map() };
  const logs = join(deps.podLogs, `${namespace}_${name}_${uid}`);
  for (const container of [...(pod.spec.initContainers ?? []), ...pod.spec.containers])
    figures.logs.set(container.name, await treeUsage(join(logs, container.name)));
  const paths = podPaths(deps.kubeletRoot, uid);
  for (const volume of pod.spec.volumes ?? []) {
    const plugin = localPlugin(volume);
    if (plugin !== undefined)
      figures.volumes.set(volume.name, await treeUsage(volumeDirectory(paths, plugin, volume.name)));
  }
  disks.set(uid, figures);
  return figures;
}

/** The directory name of a volume's kind, for those that live below the pod's own directory. */
export function localPlugin(volume: NonNullable<Pod['spec']['volumes']>[number]): string | undefined {
  if (volume.emptyDir !== undefined) return 'empty-dir';
  if (volume.configMap !== undefined) return 'configmap';
  if (volume.secret !== undefined) return 'secret';
  if (volume.downwardAPI !== undefined) return 'downward-api';
  return volume.projected === undefined ? undefined : 'projected';
}

/** Volumes that take the node's disk: the original counts those of the API's own content too, secrets not. */
function isOnDisk({
  emptyDir,
  configMap,
  downwardAPI,
}: NonNullable<Pod['spec']['volumes']>[number]): boolean {
  if (emptyDir !== undefined) return (emptyDir.medium ?? '') === '';
  return configMap !== undefined || downwardAPI !== undefined;
}

/** Which of a pod's local ephemeral storage to count: writable layers; logs and volumes on the node's disk. */
export interface StorageParts {
  layers: boolean;
  local: boolean;
}

/** Bytes and inodes of a pod's local ephemeral storage. */
export function ephemeralStorage(
  usage: PodUsage,
  parts: StorageParts = { layers: true, local: true },
): TreeUsage {
  const total = { bytes: 0, inodes: 0 };
  const add = ({ bytes, inodes }: TreeUsage) => {
    total.bytes += bytes;
    total.inodes += inodes;
  };
  for (const { stats, logs } of usage.containers) {
    if (parts.local) add(logs);
    if (parts.layers) add(layerUsage(stats));
  }
  for (const volume of parts.local ? (usage.pod.spec.volumes ?? []) : [])
    if (isOnDisk(volume)) add(usage.volumes.get(volume.name) ?? nothing);
  return total;
}

/** A container's writable layer. */
export function layerUsage(stats: ContainerStats): TreeUsage {
  const { usedBytes, inodesUsed } = stats.writableLayer ?? {};
  return { bytes: Number(usedBytes?.value ?? 0n), inodes: Number(inodesUsed?.value ?? 0n) };
}
