/**
 * `distribute-cpus-across-numa`: of several NUMA nodes each gives as many CPUs as the others, instead of the first giving
 * all it has. As few nodes as can do it; of the sets of that size the one that leaves the nodes most alike.
 */
import { type Cpu, type Packing, takePacked } from './cpu-topology.ts';

/**
 * Takes `count` CPUs out of `free`.
 *
 * @param groupSize CPUs that are not to be parted: the threads of a core, or 1.
 * @returns undefined if there are not enough.
 */
export function takeDistributed(
  all: readonly Cpu[],
  free: readonly number[],
  count: number,
  { groupSize, packing }: { groupSize: number; packing: Packing },
): number[] | undefined {
  if (free.length < count || count % groupSize !== 0) return takePacked(all, free, count, packing);
  const nodes = freeByNode(all, free);
  for (let size = 1; size <= nodes.length; size += 1) {
    const [best] = subsets(nodes, size)
      .flatMap((set) => sharesOf(set, nodes, count, groupSize))
      .sort((a, b) => a.imbalance - b.imbalance);
    if (best === undefined) continue;
    const taken = best.shares.flatMap(({ cpus, share }) => takePacked(all, cpus, share, packing) ?? []);
    return taken.sort((a, b) => a - b);
  }
  return takePacked(all, free, count, packing);
}

interface NodeCpus {
  numa: number;
  cpus: number[];
}

function freeByNode(all: readonly Cpu[], free: readonly number[]): NodeCpus[] {
  const nodes = [...new Set(all.map(({ numa }) => numa))].sort((a, b) => a - b);
  return nodes
    .map((numa) => ({
      numa,
      cpus: all.filter((cpu) => cpu.numa === numa && free.includes(cpu.id)).map(({ id }) => id),
    }))
    .filter(({ cpus }) => cpus.length > 0);
}

function subsets(nodes: readonly NodeCpus[], size: number): NodeCpus[][] {
  if (size === 0) return [[]];
  return nodes.flatMap((node, index) =>
    subsets(nodes.slice(index + 1), size - 1).map((rest) => [node, ...rest]),
  );
}

interface Distribution {
  shares: (NodeCpus & { share: number })[];
  /** How unlike the nodes are afterwards: the variance of what is free on each. */
  imbalance: number;
}

/**
 * Even shares of the nodes of a set; what does not divide goes, a group each, to those with most left.
 *
 * @returns none if one of them has not enough.
 */
function sharesOf(
  set: readonly NodeCpus[],
  nodes: readonly NodeCpus[],
  count: number,
  groupSize: number,
): Distribution[] {
  const groups = count / groupSize;
  const even = Math.floor(groups / set.length);
  const most = [...set].sort((a, b) => b.cpus.length - a.cpus.length || a.numa - b.numa);
  const shares = most.map((node, index) => ({
    ...node,
    share: (even + (index < groups % set.length ? 1 : 0)) * groupSize,
  }));
  if (shares.some(({ cpus, share }) => share > cpus.length)) return [];
  const left = nodes.map(
    ({ numa, cpus }) => cpus.length - (shares.find((each) => each.numa === numa)?.share ?? 0),
  );
  const mean = left.reduce((sum, each) => sum + each, 0) / left.length;
  return [{ shares, imbalance: left.reduce((sum, each) => sum + (each - mean) ** 2, 0) }];
}
