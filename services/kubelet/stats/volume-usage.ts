/**
 * What the volumes of pods hold: local ones by walking them, those with a file system of their own by what that says,
 * CSI volumes by their drivers. Measured at most once a minute for each pod.
 */
import { basename, dirname } from 'node:path';
import type { Pod } from '#contracts/kubernetes/types.ts';
import type { Logger } from '#foundation/base/log.ts';
import type { Clock } from '#foundation/base/time.ts';
import type { EventRecorder, Mounts } from '../ports.ts';
import { treeUsage } from './directory-usage.ts';
import { diskUsage } from './machine-usage.ts';

/** Figures of a volume; those that nobody knows are undefined. Bytes and counts. */
export interface VolumeFigures {
  available?: number;
  capacity?: number;
  used?: number;
  inodesFree?: number;
  inodes?: number;
  inodesUsed?: number;
  /** What is wrong with it: undefined where nobody says, empty for nothing. */
  problem?: string;
}

/** A volume of a pod. */
export interface VolumeUsage {
  name: string;
  figures: VolumeFigures;
  /** The claim behind it. */
  claim: string | undefined;
}

/** What the measuring needs. */
export interface VolumeMeterDeps {
  mountsOf: (podUid: string) => Mounts;
  /** The claim behind a volume of a pod. */
  claimOf: (pod: Pod, volume: string) => string | undefined;
  /** Asks the driver of the CSI volume published at a path; undefined for one that does not measure. */
  csi: (path: string) => Promise<VolumeFigures | undefined>;
  clock: Clock;
  /** `volumeStatsAggPeriod` in milliseconds. */
  periodMs: number;
  events: Pick<EventRecorder, 'pod'>;
  log: Logger;
}

/** Measures volumes. */
export interface VolumeMeter {
  /** The volumes of pods by pod UID. */
  measure(pods: readonly Pod[]): Promise<Map<string, VolumeUsage[]>>;
}

/** Kinds by the name of their directory: those that lie on the node's disk or in memory, and those with their own. */
const walked = new Set(['empty-dir', 'configmap', 'secret', 'downward-api', 'projected']);
const whole = new Set(['local-volume', 'nfs']);

/** Makes the measuring. */
export function createVolumeMeter(deps: VolumeMeterDeps): VolumeMeter {
  const kept = new Map<string, { at: number; volumes: Promise<VolumeUsage[]> }>();
  // A server that does not answer holds a thread: never more than one for each volume.
  const stuck = new Set<string>();
  return {
    async measure(pods) {
      const uids = new Set(pods.map((pod) => pod.metadata.uid ?? ''));
      for (const uid of kept.keys()) if (!uids.has(uid)) kept.delete(uid);
      const now = deps.clock.monotonic();
      const rows = pods.map(async (pod): Promise<[string, VolumeUsage[]]> => {
        const uid = pod.metadata.uid ?? '';
        const known = kept.get(uid);
        if (known !== undefined && now - known.at < deps.periodMs) return [uid, await known.volumes];
        const volumes = measurePod(deps, stuck, pod);
        kept.set(uid, { at: now, volumes });
        return [uid, await volumes];
      });
      return new Map(await Promise.all(rows));
    },
  };
}

async function measurePod(deps: VolumeMeterDeps, stuck: Set<string>, pod: Pod): Promise<VolumeUsage[]> {
  const usages: VolumeUsage[] = [];
  for (const [name, { hostPath, block }] of deps.mountsOf(pod.metadata.uid ?? '')) {
    if (hostPath === '' || block === true) continue;
    const figures = await measureOne(deps, stuck, hostPath);
    if (figures === undefined) continue;
    usages.push({ name, figures, claim: deps.claimOf(pod, name) });
    if (figures.problem !== undefined && figures.problem !== '')
      deps.events.pod(pod, 'Warning', 'VolumeConditionAbnormal', `Volume ${name}: ${figures.problem}`);
  }
  return usages;
}

async function measureOne(
  deps: VolumeMeterDeps,
  stuck: Set<string>,
  path: string,
): Promise<VolumeFigures | undefined> {
  const kind = kindOf(path);
  if (stuck.has(path)) return undefined;
  stuck.add(path);
  try {
    if (kind === 'csi') return await deps.csi(path);
    if (kind === undefined || !(walked.has(kind) || whole.has(kind))) return undefined;
    const disk = await diskUsage(path);
    if (whole.has(kind)) return disk;
    const tree = await treeUsage(path);
    return { ...disk, used: tree.bytes, inodesUsed: tree.inodes };
  } catch (error) {
    deps.log.debug({ path, err: error }, 'cannot measure a volume');
    return undefined;
  } finally {
    stuck.delete(path);
  }
}

/** The kind in `.../volumes/kubernetes.io~KIND/NAME[/mount]`; undefined for paths elsewhere on the machine. */
function kindOf(path: string): string | undefined {
  const directory = basename(path) === 'mount' ? dirname(path) : path;
  return /^kubernetes\.io~(.+)$/.exec(basename(dirname(directory)))?.[1];
}
