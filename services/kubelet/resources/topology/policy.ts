/** The four policies of the topology manager: how strictly a container's resources must be near one another. */
import { type Compare, type Hints, hintLists, mergeHints, type TopologyHint } from './hints.ts';
import { isNarrower, maskOf, type NumaMask, nodesOf, sizeOf } from './mask.ts';
import type { NumaNode } from './numa.ts';

/** `topologyManagerPolicy`. */
export type TopologyPolicy = 'none' | 'best-effort' | 'restricted' | 'single-numa-node';

/** A decision. */
export interface Verdict {
  /** Where the resources are to come from. */
  hint: TopologyHint;
  admit: boolean;
}

/** Decides for one container, or for a pod as a whole. */
export function decide(
  policy: TopologyPolicy,
  providers: readonly Hints[],
  nodes: readonly NumaNode[],
  options: { preferClosest: boolean },
): Verdict {
  const all = maskOf(nodes.map(({ id }) => id));
  const lists = hintLists(providers);
  const better = options.preferClosest ? closerThan(nodes) : isNarrower;
  if (policy === 'none') return { hint: { affinity: undefined, preferred: true }, admit: true };
  if (policy === 'single-numa-node') {
    const single = mergeHints(lists.map(singleOnly), all, better);
    // The whole machine is no affinity at all.
    const affinity = single.affinity === all ? undefined : single.affinity;
    return { hint: { affinity, preferred: single.preferred }, admit: single.preferred };
  }
  const hint = mergeHints(lists, all, better);
  return { hint, admit: policy === 'best-effort' || hint.preferred };
}

/** Hints of one node, and those that do not care. */
function singleOnly(list: readonly TopologyHint[]): TopologyHint[] {
  return list.filter(
    ({ affinity, preferred }) => preferred && (affinity === undefined || sizeOf(affinity) === 1),
  );
}

/** `prefer-closest-numa-nodes`: of sets of the same size, the one whose nodes are nearer to one another. */
function closerThan(nodes: readonly NumaNode[]): Compare {
  const distance = (mask: NumaMask) => {
    const ids = nodesOf(mask);
    let sum = 0;
    for (const from of ids)
      for (const to of ids) {
        const position = nodes.findIndex(({ id }) => id === to);
        sum += nodes.find(({ id }) => id === from)?.distances[position] ?? 0;
      }
    return sum / ids.length ** 2;
  };
  return (a, b) => {
    if (sizeOf(a) !== sizeOf(b)) return sizeOf(a) < sizeOf(b);
    const [own, other] = [distance(a), distance(b)];
    return own === other ? a < b : own < other;
  };
}
