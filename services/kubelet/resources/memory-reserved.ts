/** `reservedMemory`: how much each NUMA node keeps back for the system, checked against what the node reserves as a whole. */
import { SkiffError } from '#foundation/base/errors.ts';
import type { KubeletConfiguration } from '../configuration/defaults.ts';
import { thresholdOf } from '../node/capacity.ts';
import { amountOf } from './amounts.ts';
import type { NumaNode } from './topology/numa.ts';

/**
 * Bytes by node and resource.
 *
 * @throws SkiffError FAILED_PRECONDITION if the static policy would promise more than pods may use: the sum over all
 *   nodes must be what kubeReserved, systemReserved and the hard eviction threshold take away.
 */
export function reservedMemory(
  configuration: KubeletConfiguration,
  nodes: readonly NumaNode[],
  memoryCapacity: number,
): Map<number, Map<string, number>> {
  const reserved = new Map<number, Map<string, number>>();
  if (configuration.memoryManagerPolicy !== 'Static') return reserved;
  const totals = new Map<string, number>();
  for (const { numaNode, limits } of configuration.reservedMemory ?? []) {
    if (!nodes.some(({ id }) => id === numaNode))
      throw new SkiffError(
        'FAILED_PRECONDITION',
        `reservedMemory: this machine has no NUMA node ${numaNode}`,
      );
    const own = reserved.get(numaNode) ?? new Map<string, number>();
    for (const [name, text] of Object.entries(limits)) {
      own.set(name, (own.get(name) ?? 0) + amountOf(text));
      totals.set(name, (totals.get(name) ?? 0) + amountOf(text));
    }
    reserved.set(numaNode, own);
  }
  const { kubeReserved, systemReserved, evictionHard } = configuration;
  const wanted = new Map<string, number>();
  for (const list of [kubeReserved, systemReserved])
    for (const [name, text] of Object.entries(list))
      if (name === 'memory' || name.startsWith('hugepages-'))
        wanted.set(name, (wanted.get(name) ?? 0) + amountOf(text));
  const threshold = thresholdOf(evictionHard['memory.available'], memoryCapacity);
  wanted.set('memory', (wanted.get('memory') ?? 0) + Math.floor(threshold));
  for (const [name, size] of wanted)
    if ((totals.get(name) ?? 0) !== size)
      throw new SkiffError(
        'FAILED_PRECONDITION',
        `the total amount "${totals.get(name) ?? 0}" of type "${name}" in reservedMemory is not equal to the value "${size}" determined by Node Allocatable feature (kubeReserved, systemReserved and evictionHard memory.available)`,
      );
  return reserved;
}
