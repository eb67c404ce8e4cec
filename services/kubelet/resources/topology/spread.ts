/** Hints for things that can be counted by NUMA node: CPUs and devices. */
import type { TopologyHint } from './hints.ts';
import { hasNode, sizeOf, subsetsOf } from './mask.ts';

/** A thing, and the nodes it is near. */
export interface Placed {
  nodes: readonly number[];
}

/**
 * The sets of nodes from which `count` things can be taken. Preferred are those with as few nodes as the machine could
 * do it with if all were free.
 *
 * @param all everything there is; things of no node do not count.
 * @param available what may be taken.
 * @param mustHave what is held already and will be used again: every set must include it.
 * @param alsoPreferred whether a set is as good as one of the fewest nodes.
 */
export function spreadHints(
  nodes: readonly number[],
  all: readonly Placed[],
  available: readonly Placed[],
  mustHave: readonly Placed[],
  count: number,
  alsoPreferred: (affinity: number, least: number) => boolean = () => false,
): TopologyHint[] {
  let least = nodes.length;
  const fitting: number[] = [];
  const near = (mask: number) => (thing: Placed) => thing.nodes.some((node) => hasNode(mask, node));
  for (const mask of subsetsOf(nodes)) {
    if (all.filter(near(mask)).length >= count) least = Math.min(least, sizeOf(mask));
    const placed = mustHave.filter((thing) => thing.nodes.length > 0);
    if (!placed.every(near(mask))) continue;
    if (placed.length + available.filter(near(mask)).length >= count) fitting.push(mask);
  }
  return fitting.map((affinity) => ({
    affinity,
    preferred: sizeOf(affinity) === least || alsoPreferred(affinity, least),
  }));
}
