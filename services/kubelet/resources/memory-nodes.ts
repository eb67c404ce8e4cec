/** The books of the memory manager: what each NUMA node has, keeps back and has promised, and what still fits where. */
import type { Pod } from '#contracts/kubernetes/types.ts';
import type { AnyContainer } from '../ports.ts';
import { amountOf } from './amounts.ts';
import { hasPodLevel, qosOf } from './qos.ts';
import type { Hints, TopologyHint } from './topology/hints.ts';
import { hasNode, isNarrower, maskOf, type NumaMask, sizeOf, subsetsOf } from './topology/mask.ts';
import type { NumaNode } from './topology/numa.ts';

/** A promise to a container: so much of one resource from these nodes together. Stands in the state file. */
export interface Block {
  numaAffinity: number[];
  /** `memory` or `hugepages-2Mi`. */
  type: string;
  /** Bytes. */
  size: number;
}

/** One resource of one node, in bytes. */
export interface Amount {
  total: number;
  systemReserved: number;
  allocatable: number;
  reserved: number;
  free: number;
}

/** A node with what it has promised. */
export interface MemoryNode {
  id: number;
  amounts: ReadonlyMap<string, Amount>;
  /** How many blocks it is part of. */
  assignments: number;
  /** The nodes it serves containers with together; itself alone where nothing ties it. */
  cells: readonly number[];
}

/** All nodes. */
export type MemoryNodes = readonly MemoryNode[];

interface MemoryFacts {
  nodes: readonly NumaNode[];
  reserved: ReadonlyMap<number, ReadonlyMap<string, number>>;
}

type Entries = ReadonlyMap<string, ReadonlyMap<string, readonly Block[]>>;

/** The nodes after all promises of `entries`. */
export function memoryNodes(facts: MemoryFacts, entries: Entries): MemoryNodes {
  const nodes = facts.nodes.map((node) => ({
    id: node.id,
    amounts: amountsOf(node, facts.reserved.get(node.id)),
    assignments: 0,
    cells: [node.id] as readonly number[],
  }));
  for (const { numaAffinity, type, size } of blocksOf(entries)) {
    let left = size;
    for (const id of numaAffinity) {
      const node = nodes.find((each) => each.id === id);
      const amount = node?.amounts.get(type);
      if (node === undefined || amount === undefined) continue;
      node.assignments += 1;
      node.cells = numaAffinity;
      // From the first node as much as there is, the rest from the next.
      const taken = Math.min(left, amount.free);
      amount.free -= taken;
      amount.reserved += taken;
      left -= taken;
    }
  }
  return nodes;
}

function blocksOf(entries: Entries): Block[] {
  return [...entries.values()].flatMap((containers) => [...containers.values()].flat());
}

function amountsOf(node: NumaNode, kept: ReadonlyMap<string, number> | undefined): Map<string, Amount> {
  const hugePages = [...node.hugePages.values()].reduce((sum, bytes) => sum + bytes, 0);
  const amount = (name: string, total: number, lessThat: number): [string, Amount] => {
    const systemReserved = kept?.get(name) ?? 0;
    const allocatable = Math.max(0, total - lessThat - systemReserved);
    return [name, { total, systemReserved, allocatable, reserved: 0, free: allocatable }];
  };
  const pages = [...node.hugePages].map(([size, bytes]) => amount(`hugepages-${size}`, bytes, 0));
  return new Map([amount('memory', node.memory, hugePages), ...pages]);
}

/** Bytes of memory and huge pages a container is promised: of Guaranteed pods whose containers have their own share. */
export function requestedMemory(pod: Pod, container: AnyContainer): Map<string, number> {
  const request = new Map<string, number>();
  if (qosOf(pod) !== 'Guaranteed' || hasPodLevel(pod)) return request;
  const stated = { ...container.resources?.limits, ...container.resources?.requests };
  for (const [name, text] of Object.entries(stated))
    if ((name === 'memory' || name.startsWith('hugepages-')) && amountOf(text) > 0)
      request.set(name, amountOf(text));
  return request;
}

/** The hints for a request: by resource, the same sets of nodes for each. */
export function memoryHints(nodes: MemoryNodes, request: ReadonlyMap<string, number>): Hints {
  let least = nodes.length;
  const fitting: NumaMask[] = [];
  for (const mask of subsetsOf(nodes.map(({ id }) => id))) {
    const couldHold = [...request].every(([type, size]) => sum(nodes, mask, type, 'allocatable') >= size);
    if (couldHold) least = Math.min(least, sizeOf(mask));
    if (mayServe(nodes, mask) && holds(nodes, mask, request)) fitting.push(mask);
  }
  const hints: TopologyHint[] = fitting.map((affinity) => ({
    affinity,
    preferred: sizeOf(affinity) === least,
  }));
  return new Map([...request.keys()].map((type) => [type, hints]));
}

/**
 * The set of nodes to promise from: `wanted` if it has enough, else the smallest that includes it, else the smallest at
 * all; undefined if nowhere is enough.
 *
 * @param handedOn blocks of the pod's init containers, which may be used again.
 */
export function bestAffinity(
  nodes: MemoryNodes,
  request: ReadonlyMap<string, number>,
  wanted: NumaMask | undefined,
  handedOn: readonly Block[],
): NumaMask | undefined {
  const again = (mask: NumaMask, type: string) =>
    handedOn.reduce(
      (bytes, block) => bytes + (block.type === type && maskOf(block.numaAffinity) === mask ? block.size : 0),
      0,
    );
  const less = (mask: NumaMask) =>
    new Map([...request].map(([type, size]) => [type, size - again(mask, type)]));
  const isHeld = (mask: NumaMask) => handedOn.some((block) => maskOf(block.numaAffinity) === mask);
  const fits = (mask: NumaMask) => (isHeld(mask) || mayServe(nodes, mask)) && holds(nodes, mask, less(mask));
  if (wanted !== undefined && fits(wanted)) return wanted;
  const includes = (mask: NumaMask) => wanted !== undefined && (mask & wanted) === wanted;
  const better = (a: NumaMask, b: NumaMask) => (includes(a) === includes(b) ? isNarrower(a, b) : includes(a));
  let best: NumaMask | undefined;
  for (const mask of subsetsOf(nodes.map(({ id }) => id)))
    if (fits(mask) && (best === undefined || better(mask, best))) best = mask;
  return best;
}

/** A node that serves containers alone joins no set; one that is tied serves that set only. */
function mayServe(nodes: MemoryNodes, mask: NumaMask): boolean {
  return nodes.every(({ id, assignments, cells }) => {
    if (!hasNode(mask, id) || assignments === 0) return true;
    return maskOf(cells) === mask;
  });
}

function holds(nodes: MemoryNodes, mask: NumaMask, request: ReadonlyMap<string, number>): boolean {
  return [...request].every(([type, size]) => sum(nodes, mask, type, 'free') >= size);
}

function sum(nodes: MemoryNodes, mask: NumaMask, type: string, part: keyof Amount): number {
  return nodes.reduce(
    (bytes, node) => bytes + (hasNode(mask, node.id) ? (node.amounts.get(type)?.[part] ?? 0) : 0),
    0,
  );
}

/** The machine's state as the state file has it. */
export function stateOf(nodes: MemoryNodes): Record<string, unknown> {
  return Object.fromEntries(
    nodes.map(({ id, amounts, assignments, cells }) => [
      String(id),
      { numberOfAssignments: assignments, memoryMap: Object.fromEntries(amounts), cells },
    ]),
  );
}

/** What of the promises this machine cannot keep; undefined if all is well. */
export function checkState(facts: MemoryFacts, entries: Entries): string | undefined {
  const whole = memoryNodes(facts, new Map());
  const promised = new Map<string, number>();
  for (const { numaAffinity, type, size } of blocksOf(entries)) {
    const missing = numaAffinity.find((id) => !facts.nodes.some((node) => node.id === id));
    if (missing !== undefined) return `there is no NUMA node ${missing}`;
    const key = `${numaAffinity.join(',')} ${type}`;
    promised.set(key, (promised.get(key) ?? 0) + size);
  }
  for (const [key, size] of promised) {
    const [list = '', type = ''] = key.split(' ');
    const most = sum(whole, maskOf(list.split(',').map(Number)), type, 'allocatable');
    if (size > most) return `${size} bytes of ${type} are promised from nodes ${list} that have ${most}`;
  }
  return undefined;
}
