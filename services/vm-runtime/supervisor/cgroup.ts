/** The host's cgroup that the VM's processes are in: what they use counts there, and is bounded. */
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { errnoOf, SkiffError } from '#foundation/base/errors.ts';
import { makeCgroup, setCgroupLimits } from '#foundation/linux/cgroup-limits.ts';
import {
  type CgroupLayout,
  cgroupDirectories,
  cgroupDirectory,
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

/**
 * Makes the group with the VM's own size as its limits.
 *
 * @throws SkiffError FAILED_PRECONDITION if the pod's group, in which it is, has no room for the VM.
 */
export function makePodCgroup({ cgroup, vcpus, memoryBytes }: PodConfig): void {
  if (cgroup === undefined) return;
  const layout = cgroupLayout();
  checkRoom(layout, dirname(cgroup), memoryBytes);
  makeCgroup(layout, cgroup);
  // Also in hierarchies without controllers (systemd's, version 2 beside version 1), so that all of it is found there.
  for (const directory of cgroupDirectories(layout, cgroup)) mkdirSync(directory, { recursive: true });
  setCgroupLimits(layout, cgroup, { memory: memoryBytes + aroundBytes, pids: threads });
  try {
    // One more than the guest has, for the threads that serve its devices.
    setCgroupLimits(layout, cgroup, { cpuQuota: (vcpus + 1) * cpuPeriod, cpuPeriod });
  } catch (error) {
    // Version 1 takes no quota above the parent's, which bounds it anyway: sched-bwc.rst of the kernel.
    if (errnoOf(error) !== 'EINVAL') throw error;
  }
}

/** A VM in a group that is too small for it would be killed in the middle of something, and could not say why. */
function checkRoom(layout: CgroupLayout, parent: string, memoryBytes: number): void {
  const directory = cgroupDirectory(layout, 'memory', parent);
  const file = join(directory ?? '', layout.mode === 'unified' ? 'memory.max' : 'memory.limit_in_bytes');
  if (directory === undefined || !existsSync(file)) return;
  const limit = Number(readFileSync(file, 'utf8')); // "max" is not a number, and below nothing.
  if (!(limit < memoryBytes)) return;
  throw new SkiffError(
    'FAILED_PRECONDITION',
    `the cgroup ${parent} may use ${mib(limit)} MiB of memory, and the VM has ${mib(memoryBytes)} MiB with its own kernel: raise the pod's limit, or give it an overhead (spec.overhead, as RuntimeClass vm has it)`,
  );
}

const mib = (bytes: number) => Math.floor(bytes / 1024 / 1024);

/** Removes it when its processes have ended; an absent one is success. */
export async function removePodCgroup({ cgroup }: PodConfig): Promise<void> {
  if (cgroup === undefined) return;
  const layout = cgroupLayout();
  await removeCgroup(layout, cgroup);
  // The parent is ours where the caller named none; it goes with the last.
  if (dirname(cgroup) === ownCgroupParent) removeEmptyCgroup(layout, ownCgroupParent);
}
