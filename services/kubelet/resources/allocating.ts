/** Allocates devices, CPUs and memory to a pod that is admitted: what cannot be given keeps it out. */
import type { Pod } from '#contracts/kubernetes/types.ts';
import { SkiffError } from '#foundation/base/errors.ts';
import type { KubeletConfiguration } from '../configuration/defaults.ts';
import type { Admission, AdmitResult, DynamicResources } from '../ports.ts';
import { milliCpuOf } from './amounts.ts';
import { parseCpus } from './cpu-set.ts';
import { type Cpu, takePacked } from './cpu-topology.ts';
import { qosOf } from './qos.ts';
import type { TopologyManager } from './topology/manager.ts';

/** What allocating needs. */
export interface AllocatingDeps {
  topology: TopologyManager;
  dynamicResources: Pick<DynamicResources, 'retain'>;
  /** Static policies: what they gave cannot be changed while a container runs. */
  staticCpus: boolean;
  staticMemory: boolean;
}

/**
 * Puts the allocation before an admission: the original's order, so that a pod for which no device is left is told so in
 * the device manager's words. What a pod that is refused afterwards was given stays until `retain`.
 */
export function createAllocating(base: Admission, deps: AllocatingDeps): Admission {
  const { topology } = deps;
  return {
    async admit(pod, others) {
      const verdict = await topology.admit(pod);
      return verdict.admit ? base.admit(pod, others) : verdict;
    },
    fits: (pod, others) => fixedProblem(deps, pod) ?? base.fits(pod, others),
    retain(podUids) {
      base.retain(podUids);
      topology.retain(podUids);
      deps.dynamicResources.retain(podUids);
    },
  };
}

/** A Guaranteed pod whose CPUs or memory are promised one by one cannot be resized (the original's words). */
function fixedProblem(
  { staticCpus, staticMemory }: AllocatingDeps,
  pod: Pod,
): (AdmitResult & { infeasible: true }) | undefined {
  if (qosOf(pod) !== 'Guaranteed' || !(staticCpus || staticMemory)) return undefined;
  const manager = staticCpus ? 'CPU Manager' : 'Memory Manager';
  const message = `Resize is infeasible for Guaranteed Pods alongside ${manager} static policy`;
  return {
    admit: false,
    reason: `guaranteed_pod_${staticCpus ? 'cpu' : 'memory'}_manager_static_policy`,
    message,
    infeasible: true,
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
