/** Statistics of the node and its pods, for /stats/summary, the resource metrics, and eviction. */
import { readFileSync } from 'node:fs';
import { stat } from 'node:fs/promises';
import type { CriClient } from '#contracts/cri/client.ts';
import type { Pod } from '#contracts/kubernetes/types.ts';
import type { Clock } from '#foundation/base/time.ts';
import type { CgroupLayout } from '#foundation/linux/cgroups.ts';
import { parseMeminfo } from '../node/machine.ts';
import type { KubeletView } from '../ports.ts';
import { type DiskUsage, diskUsage } from './machine-usage.ts';
import type { PodUsage, PodUsages } from './pod-usage.ts';
import { createRates } from './rates.ts';
import { summary } from './summary.ts';
import type { VolumeMeter } from './volume-usage.ts';

/** What statistics need. */
export interface StatsSources {
  view: Pick<KubeletView, 'pods'>;
  usages: PodUsages;
  volumes: VolumeMeter;
  images: Pick<CriClient['images'], 'imageFsInfo'>;
  clock: Clock;
  layout: CgroupLayout;
  nodeName: string;
  kubeletRoot: string;
  memoryCapacity: number;
  /** Milliseconds since the epoch. */
  bootedAt: number;
  /** The cgroup above all pods, and that of one. */
  podsCgroup: () => string;
  podCgroup: (pod: Pod) => string;
}

/** What the summary's parts share. */
export interface StatsDeps extends StatsSources {
  rate: (key: string, total: number | undefined) => number | undefined;
  swap: () => { used: number; free: number };
}

/** The disks of the node. */
export interface Disks {
  /** Holds the kubelet's root directory. */
  node: DiskUsage;
  /** Holds images and writable layers. */
  image: DiskUsage;
  /** Bytes and inodes of images alone. */
  imageUsed: number;
  imageInodes: number;
  /** Whether these are two disks. */
  split: boolean;
}

/** Statistics. */
export interface Stats {
  summary(options: { onlyCpuAndMemory: boolean }): Promise<Record<string, unknown>>;
  disks(): Promise<Disks>;
  /** Pods that run, with what they use. */
  pods(options: { disk: boolean }): Promise<PodUsage[]>;
}

/** Makes the statistics. */
export function createStats(sources: StatsSources): Stats {
  const deps: StatsDeps = { ...sources, rate: createRates(sources.clock), swap };
  const pods = (options: { disk: boolean }) => sources.usages.measure(running(sources.view.pods()), options);
  const disks = () => readDisks(sources);
  return {
    disks,
    pods,
    async summary(options) {
      const brief = options.onlyCpuAndMemory;
      const [usages, { node, image, imageUsed, imageInodes }, volumes] = await Promise.all([
        pods({ disk: !brief }),
        disks(),
        sources.volumes.measure(brief ? [] : running(sources.view.pods())),
      ]);
      const now = new Date(sources.clock.now()).toISOString();
      return summary(
        deps,
        { usages, volumes, nodeDisk: node, imageDisk: image, imageUsed, imageInodes, now },
        options,
      );
    },
  };
}

function running(pods: readonly Pod[]): Pod[] {
  return pods.filter((pod) => pod.status?.phase !== 'Succeeded' && pod.status?.phase !== 'Failed');
}

async function readDisks({ images, kubeletRoot }: StatsSources): Promise<Disks> {
  const node = await diskUsage(kubeletRoot);
  const { imageFilesystems } = await images.imageFsInfo({}, { timeoutMs: 30_000 });
  const [first] = imageFilesystems;
  const place = first?.fsId?.mountpoint;
  // A runtime in another mount namespace names a place that is not here.
  const image = place === undefined ? node : await diskUsage(place).catch(() => node);
  const device = async (path: string) => (await stat(path)).dev;
  const own = await device(kubeletRoot);
  const other = place === undefined ? own : await device(place).catch(() => own);
  return {
    split: own !== other,
    node,
    image,
    imageUsed: Number(first?.usedBytes?.value ?? 0n),
    imageInodes: Number(first?.inodesUsed?.value ?? 0n),
  };
}

function swap(): { used: number; free: number } {
  const info = parseMeminfo(readFileSync('/proc/meminfo', 'utf8'));
  const free = info.get('SwapFree') ?? 0;
  return { used: (info.get('SwapTotal') ?? 0) - free, free };
}
