/**
 * Topology hints: on which NUMA nodes a resource could be given to a container, and how the hints of several resources
 * become one decision (the rules are the original's topology manager's).
 */
import { isNarrower, type NumaMask, sizeOf } from './mask.ts';

/** One way to give a resource. */
export interface TopologyHint {
  /** The nodes it would come from; undefined for no preference. */
  affinity: NumaMask | undefined;
  /** Whether there is no better way on this machine. */
  preferred: boolean;
}

/**
 * Hints by resource. `undefined` for a resource that does not care; an empty list for one that can be given nowhere.
 */
export type Hints = ReadonlyMap<string, readonly TopologyHint[] | undefined>;

/** Whether `a` is a better affinity than `b`; by size and then number unless told otherwise. */
export type Compare = (a: NumaMask, b: NumaMask) => boolean;

/** The lists to merge: one for each resource, with what stands for "does not care" and "nowhere". */
export function hintLists(providers: readonly Hints[]): TopologyHint[][] {
  const lists: TopologyHint[][] = [];
  for (const hints of providers) {
    if (hints.size === 0) lists.push([{ affinity: undefined, preferred: true }]);
    for (const list of hints.values()) {
      if (list === undefined) lists.push([{ affinity: undefined, preferred: true }]);
      else if (list.length === 0) lists.push([{ affinity: undefined, preferred: false }]);
      else lists.push([...list]);
    }
  }
  return lists;
}

/**
 * The best of all combinations of one hint from each list.
 *
 * @param all the mask of the machine.
 */
export function mergeHints(
  lists: readonly (readonly TopologyHint[])[],
  all: NumaMask,
  better: Compare = isNarrower,
): { affinity: NumaMask; preferred: boolean } {
  const widestNeed = Math.max(0, ...lists.map(narrowestPreferred));
  let best: Merged | undefined;
  for (const merged of combinations(lists, all)) {
    if (merged.affinity === 0) continue;
    if (best === undefined || wins(merged, best, widestNeed, better)) best = merged;
  }
  return best ?? { affinity: all, preferred: false };
}

interface Merged {
  affinity: NumaMask;
  preferred: boolean;
}

/**
 * Every merged hint that some combination gives. Combinations that cannot be told apart any more are followed once, so
 * that the work grows with the number of masks and not with the number of resources.
 */
function combinations(lists: readonly (readonly TopologyHint[])[], all: NumaMask): Merged[] {
  // `common` is the affinity that all hints so far share: only then may the result be preferred.
  let states = new Map<string, Merged & { common: NumaMask | undefined }>();
  states.set('', { affinity: all, preferred: true, common: undefined });
  for (const list of lists) {
    const next: typeof states = new Map();
    for (const state of states.values())
      for (const hint of list) {
        const common = state.common ?? hint.affinity;
        const same = hint.affinity === undefined || hint.affinity === common;
        const preferred = state.preferred && hint.preferred && same;
        const affinity = hint.affinity === undefined ? state.affinity : state.affinity & hint.affinity;
        // Once it cannot be preferred any more, it does not matter why.
        const shared = preferred ? common : undefined;
        next.set(`${affinity} ${preferred} ${shared}`, { affinity, preferred, common: shared });
      }
    states = next;
  }
  return [...states.values()].map(({ affinity, preferred }) => ({ affinity, preferred }));
}

/** The fewest nodes that a preferred hint of a resource names; 0 if it has none. */
function narrowestPreferred(list: readonly TopologyHint[]): number {
  const sizes = list.flatMap(({ affinity, preferred }) =>
    preferred && affinity !== undefined ? [sizeOf(affinity)] : [],
  );
  return sizes.length === 0 ? 0 : Math.min(...sizes);
}

/**
 * Whether `candidate` is to be taken instead of `current`. Of results that are not preferred, those come first that
 * have as many nodes as the most demanding resource needs.
 */
function wins(candidate: Merged, current: Merged, need: number, better: Compare): boolean {
  if (candidate.preferred !== current.preferred) return candidate.preferred;
  if (candidate.preferred) return better(candidate.affinity, current.affinity);
  const [size, held] = [sizeOf(candidate.affinity), sizeOf(current.affinity)];
  if (held > need) return better(candidate.affinity, current.affinity);
  if (held === need) return size === need && better(candidate.affinity, current.affinity);
  if (size > need) return false;
  if (size === need) return true;
  return size === held ? better(candidate.affinity, current.affinity) : size > held;
}
