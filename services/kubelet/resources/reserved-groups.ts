/**
 * `enforceNodeAllocatable` with system-reserved and kube-reserved: what is set aside for the system is also its limit,
 * in cgroups that the administrator made.
 */
import { SkiffError } from '#foundation/base/errors.ts';
import { type CgroupLimits, cgroupExists, setCgroupLimits } from '#foundation/linux/cgroup-limits.ts';
import type { CgroupLayout } from '#foundation/linux/cgroups.ts';
import type { KubeletConfiguration } from '../configuration/defaults.ts';
import { amountOf, milliCpuOf } from './amounts.ts';
import { type CgroupDriver, cgroupPath } from './cgroup-names.ts';
import { sharesFor } from './linux-resources.ts';

/** Sets the limits. @throws SkiffError FAILED_PRECONDITION for a group that is not there. */
export function limitReservedGroups(
  configuration: KubeletConfiguration,
  layout: CgroupLayout,
  driver: CgroupDriver,
): void {
  const { enforceNodeAllocatable: wanted, systemReserved, kubeReserved } = configuration;
  const rows = [
    ['system-reserved', configuration.systemReservedCgroup, systemReserved],
    ['kube-reserved', configuration.kubeReservedCgroup, kubeReserved],
  ] as const;
  for (const [name, group = '', reserved] of rows) {
    const whole = wanted.includes(name);
    if (!whole && !wanted.includes(`${name}-compressible`)) continue;
    const path = cgroupPath(
      group.split('/').filter((part) => part !== ''),
      driver,
    );
    if (!cgroupExists(layout, path))
      throw new SkiffError(
        'FAILED_PRECONDITION',
        `Cannot enforce ${name} limits: there is no cgroup "${path}" (make it, or take ${name} out of enforceNodeAllocatable)`,
      );
    setCgroupLimits(layout, path, limitsOf(reserved, whole));
  }
}

/** @param whole whether memory and processes are limited too, or CPU time alone, which only slows down. */
function limitsOf(reserved: Readonly<Record<string, string>>, whole: boolean): CgroupLimits {
  const { cpu, memory, pid } = reserved;
  return {
    ...(cpu === undefined ? {} : { cpuShares: sharesFor(milliCpuOf(cpu)) }),
    ...(whole && memory !== undefined ? { memory: amountOf(memory) } : {}),
    ...(whole && pid !== undefined ? { pids: amountOf(pid) } : {}),
  };
}
