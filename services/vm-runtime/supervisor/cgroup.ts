/** The host's cgroup that the VM's processes are in: what they use counts there, and is bounded. */
import { mkdirSync } from 'node:fs';
import { dirname } from 'node:path';
import { makeCgroup, setCgroupLimits } from '#foundation/linux/cgroup-limits.ts';
import {
  cgroupDirectories,
  cgroupLayout,
  removeCgroup,
  removeEmptyCgroup,
} from '#foundation/linux/cgroups.ts';
import { ownCgroupParent } from './paths.ts';
import type { PodConfig } from './records.ts';

/** Bytes beside the guest's memory: the hypervisor's own, its translated code, the file server's. */
const aroundBytes = 384 * 1024 * 1024;
/** Microseconds. */
const cpuPeriod = 100_000;
/** Processes and threads of hypervisor and file server: one for each processor, and workers. */
const threads = 1024;

/** Makes the group with the VM's own size as its limits. */
export function makePodCgroup({ cgroup, vcpus, memoryBytes }: PodConfig): void {
  if (cgroup === undefined) return;
  const layout = cgroupLayout();
  makeCgroup(layout, cgroup);
  // Also in hierarchies without controllers (systemd's, version 2 beside version 1), so that all of it is found there.
  for (const directory of cgroupDirectories(layout, cgroup)) mkdirSync(directory, { recursive: true });
  setCgroupLimits(layout, cgroup, {
    memory: memoryBytes + aroundBytes,
    // One more than the guest has, for the threads that serve its devices.
    cpuQuota: (vcpus + 1) * cpuPeriod,
    cpuPeriod,
    pids: threads,
  });
}

/** Removes it when its processes have ended; an absent one is success. */
export async function removePodCgroup({ cgroup }: PodConfig): Promise<void> {
  if (cgroup === undefined) return;
  const layout = cgroupLayout();
  await removeCgroup(layout, cgroup);
  // The parent is ours where the caller named none; it goes with the last.
  if (dirname(cgroup) === ownCgroupParent) removeEmptyCgroup(layout, ownCgroupParent);
}
