/** Allocates devices and CPUs to a pod that is admitted: what cannot be given keeps it out. */
import type { Pod } from '#contracts/kubernetes/types.ts';
import { messageOf, SkiffError } from '#foundation/base/errors.ts';
import type { KubeletConfiguration } from '../configuration/defaults.ts';
import type { Admission } from '../ports.ts';
import { milliCpuOf } from './amounts.ts';
import { parseCpus } from './cpu-set.ts';
import { type Cpu, takePacked } from './cpu-topology.ts';

/** Something that is given to pods. */
export interface Allocator {
  allocate(pod: Pod): void | Promise<void>;
  retain(podUids: ReadonlySet<string>): void;
}

/** Puts allocators behind an admission. */
export function createAllocating(base: Admission, allocators: readonly Allocator[]): Admission {
  return {
    async admit(pod, others) {
      const verdict = await base.admit(pod, others);
      if (!verdict.admit) return verdict;
      // What pods that are gone had is free now.
      const known = new Set([pod, ...others].map((each) => each.metadata.uid ?? ''));
      try {
        for (const allocator of allocators) {
          allocator.retain(known);
          await allocator.allocate(pod);
        }
        return verdict;
      } catch (error) {
        const message = `Allocate failed due to ${messageOf(error)}, which is unexpected`;
        return { admit: false, reason: 'UnexpectedAdmissionError', message };
      }
    },
    fits: base.fits,
    retain(podUids) {
      base.retain(podUids);
      for (const allocator of allocators) allocator.retain(podUids);
    },
  };
}

/**
 * The CPUs that the static policy never gives away.
 *
 * @throws SkiffError FAILED_PRECONDITION if nothing is reserved: then a pod could take all.
 */
export function reservedCpus(configuration: KubeletConfiguration, cpus: readonly Cpu[]): number[] {
  const { cpuManagerPolicy, reservedSystemCPUs, kubeReserved, systemReserved } = configuration;
  if (cpuManagerPolicy !== 'static') return [];
  if (reservedSystemCPUs !== '') return parseCpus(reservedSystemCPUs);
  const milli = milliCpuOf(kubeReserved.cpu ?? '0') + milliCpuOf(systemReserved.cpu ?? '0');
  const ids = cpus.map(({ id }) => id);
  const reserved = takePacked(cpus, ids, Math.ceil(milli / 1000));
  if (milli > 0 && reserved !== undefined) return reserved;
  throw new SkiffError(
    'FAILED_PRECONDITION',
    'cpuManagerPolicy static requires reservedSystemCPUs, or kubeReserved.cpu and systemReserved.cpu together, to be between zero and all CPUs',
  );
}
