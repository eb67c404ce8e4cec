/** In which order pods go: over their request, then low priority, then who takes the most (the original's order). */
import type { Pod } from '#contracts/kubernetes/types.ts';
import { requestOf } from '../resources/qos.ts';
import { ephemeralStorage, type PodUsage, type StorageParts } from '../stats/pod-usage.ts';
import type { Signal } from './thresholds.ts';

/** A pod with what it takes of the starved resource. */
export interface Ranked {
  usage: PodUsage;
  used: number;
  /** What it asked for; 0 where nobody can ask (inodes, processes). */
  requested: number;
}

/** Bytes of memory a pod takes. */
export function memoryOf(usage: PodUsage): number {
  const whole = usage.sandbox?.linux?.memory?.workingSetBytes?.value;
  if (whole !== undefined) return Number(whole);
  return usage.containers.reduce(
    (sum, { stats }) => sum + Number(stats.memory?.workingSetBytes?.value ?? 0n),
    0,
  );
}

/**
 * Sorts pods, the first to go first.
 *
 * @param split whether images and writable layers have a disk of their own: then only what lies on the starved one counts.
 */
export function rankPods(usages: readonly PodUsage[], signal: Signal, split = false): Ranked[] {
  const parts = partsOn(signal, split);
  const ranked = usages.map((usage): Ranked => ({ usage, ...figures(usage, signal, parts) }));
  const byProcess = signal === 'pid.available';
  return ranked.sort(
    (a, b) =>
      (byProcess ? 0 : Number(b.used > b.requested) - Number(a.used > a.requested)) ||
      priorityOf(a) - priorityOf(b) ||
      b.used - b.requested - (a.used - a.requested),
  );
}

function partsOn(signal: Signal, split: boolean): StorageParts {
  if (!split) return { layers: true, local: true };
  const onNode = signal.startsWith('nodefs');
  return { layers: !onNode, local: onNode };
}

function figures(usage: PodUsage, signal: Signal, parts: StorageParts): { used: number; requested: number } {
  if (signal === 'pid.available')
    return { used: Number(usage.sandbox?.linux?.process?.processCount?.value ?? 0n), requested: 0 };
  if (signal === 'memory.available' || signal === 'allocatableMemory.available')
    return { used: memoryOf(usage), requested: podRequest(usage.pod, 'memory') };
  const { bytes, inodes } = ephemeralStorage(usage, parts);
  if (signal.endsWith('inodesFree')) return { used: inodes, requested: 0 };
  return { used: bytes, requested: podRequest(usage.pod, 'ephemeral-storage') };
}

function priorityOf({ usage }: Ranked): number {
  return usage.pod.spec.priority ?? 0;
}

/** What a pod asks for: its containers and sidecars together. */
export function podRequest(pod: Pod, resource: string): number {
  const own = requestOf(pod.spec.resources, resource);
  if (own > 0) return own;
  const sidecars = (pod.spec.initContainers ?? []).filter((each) => each.restartPolicy === 'Always');
  return [...pod.spec.containers, ...sidecars].reduce(
    (sum, each) => sum + requestOf(each.resources, resource),
    0,
  );
}
