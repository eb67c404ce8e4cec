/** Reads the figures that thresholds are compared with. */
import type { CgroupLayout } from '#foundation/linux/cgroups.ts';
import { groupMemory, machineMemory, processCounts } from '../stats/machine-usage.ts';
import type { Stats } from '../stats/stats.ts';
import type { Observation, Observations, Signal } from './thresholds.ts';

/** What the reading needs. */
export interface ObserveDeps {
  stats: Pick<Stats, 'disks'>;
  layout: CgroupLayout;
  memoryCapacity: number;
  /** The cgroup above all pods. */
  podsCgroup: () => string;
}

/** Reads the figures as of now. @throws if the runtime does not tell of its disk. */
export async function observe({
  stats,
  layout,
  memoryCapacity,
  podsCgroup,
}: ObserveDeps): Promise<Observations> {
  const { node, image } = await stats.disks();
  const memory = machineMemory(layout, memoryCapacity);
  const pods = groupMemory(layout, podsCgroup(), memoryCapacity);
  const { max, current } = processCounts();
  const room = (disk: typeof node) => ({ available: disk.available, capacity: disk.capacity });
  const inodes = (disk: typeof node) => ({ available: disk.inodesFree, capacity: disk.inodes });
  const figures = new Map<Signal, Observation>([
    ['memory.available', { available: memory.available, capacity: memoryCapacity }],
    ['nodefs.available', room(node)],
    ['imagefs.available', room(image)],
    ['containerfs.available', room(image)],
    ['pid.available', { available: max - current, capacity: max }],
  ]);
  if (pods !== undefined)
    figures.set('allocatableMemory.available', {
      available: pods.available,
      capacity: pods.available + pods.workingSet,
    });
  // File systems that make inodes as they go (btrfs) say they have none: nothing to watch.
  if (node.inodes > 0) figures.set('nodefs.inodesFree', inodes(node));
  if (image.inodes > 0)
    for (const signal of ['imagefs.inodesFree', 'containerfs.inodesFree'] as const)
      figures.set(signal, inodes(image));
  return figures;
}
