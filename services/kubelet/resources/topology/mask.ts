/** Sets of NUMA nodes as bit masks: node 0 is bit 0. Machines have few nodes; 31 fit into a number. */

/** A set of NUMA nodes. */
export type NumaMask = number;

/** The set of some nodes. */
export function maskOf(nodes: Iterable<number>): NumaMask {
  let mask = 0;
  for (const node of nodes) mask |= 1 << node;
  return mask;
}

/** The nodes of a set, in order. */
export function nodesOf(mask: NumaMask): number[] {
  const nodes: number[] = [];
  for (let node = 0; mask >> node !== 0; node += 1) if (((mask >> node) & 1) === 1) nodes.push(node);
  return nodes;
}

/** How many nodes are in a set. */
export function sizeOf(mask: NumaMask): number {
  return nodesOf(mask).length;
}

/** Whether a node is in a set. */
export function hasNode(mask: NumaMask, node: number): boolean {
  return ((mask >> node) & 1) === 1;
}

/** Every set of at least one of `nodes`. */
export function* subsetsOf(nodes: readonly number[]): Generator<NumaMask> {
  for (let choice = 1; choice < 2 ** nodes.length; choice += 1)
    yield maskOf(nodes.filter((_, index) => ((choice >> index) & 1) === 1));
}

/** Whether `a` has fewer nodes than `b`, or as many with lower numbers. */
export function isNarrower(a: NumaMask, b: NumaMask): boolean {
  const [size, other] = [sizeOf(a), sizeOf(b)];
  return size === other ? a < b : size < other;
}
