/** How many CPUs containers get for themselves, which these could be, and on which NUMA nodes they are. */
import type { Pod } from '#contracts/kubernetes/types.ts';
import type { AnyContainer } from '../ports.ts';
import { milliCpuOf } from './amounts.ts';
import { takeDistributed } from './cpu-distribution.ts';
import { type Cpu, type Packing, takePacked } from './cpu-topology.ts';
import { hasPodLevel, qosOf } from './qos.ts';
import type { Hints } from './topology/hints.ts';
import { hasNode, type NumaMask } from './topology/mask.ts';
import { spreadHints } from './topology/spread.ts';

/** How CPUs are placed: `cpuManagerPolicyOptions`. */
export interface Placing extends Packing {
  /** `distribute-cpus-across-numa`. */
  acrossNuma?: boolean;
  /** `align-by-socket`: NUMA nodes of one socket are as good as one node. */
  alignSockets?: boolean;
  /** CPUs that are not to be parted: the threads of a core with `full-pcpus-only`. */
  groupSize?: number;
}

/** CPUs that were given away, by pod and container. */
export type CpuEntries = Map<string, Map<string, number[]>>;

/** How many CPUs a container gets for itself: whole ones, of Guaranteed pods whose containers have their own share. */
export function wholeCpus(pod: Pod, container: AnyContainer): number {
  if (qosOf(pod) !== 'Guaranteed' || hasPodLevel(pod)) return 0;
  const milli = milliCpuOf(container.resources?.requests?.cpu ?? container.resources?.limits?.cpu ?? 0);
  return milli % 1000 === 0 ? milli / 1000 : 0;
}

/** What all containers of a pod need at once: those that start before the others hand theirs on. */
export function podCpus(pod: Pod): number {
  let sidecars = 0;
  let peak = 0;
  for (const container of pod.spec.initContainers ?? []) {
    const own = wholeCpus(pod, container);
    if (container.restartPolicy === 'Always') sidecars += own;
    peak = Math.max(peak, container.restartPolicy === 'Always' ? sidecars : sidecars + own);
  }
  const regular = pod.spec.containers.reduce((sum, container) => sum + wholeCpus(pod, container), sidecars);
  return Math.max(peak, regular);
}

/** CPUs of init containers that no container of the pod holds that runs beside or after them. */
export function reusableOf(entries: CpuEntries, pod: Pod): number[] {
  const own = entries.get(pod.metadata.uid ?? '');
  if (own === undefined) return [];
  const passing = (pod.spec.initContainers ?? []).filter((each) => each.restartPolicy !== 'Always');
  const names = new Set(passing.map(({ name }) => name));
  const kept = new Set([...own].flatMap(([name, ids]) => (names.has(name) ? [] : ids)));
  const handedOn = [...names].flatMap((name) => own.get(name) ?? []);
  return [...new Set(handedOn)].filter((id) => !kept.has(id));
}

/** The hints for `count` CPUs; what is held already stays where it is. */
export function cpuHints(
  cpus: readonly Cpu[],
  wanted: { count: number; held?: readonly number[]; free: readonly number[]; reusable: readonly number[] },
  { alignSockets = false }: Placing = {},
): Hints {
  const { count, held, free, reusable } = wanted;
  if (count === 0) return new Map();
  if (held !== undefined && held.length !== count) return new Map([['cpu', []]]);
  const place = (id: number) => ({ nodes: cpus.flatMap((cpu) => (cpu.id === id ? [cpu.numa] : [])) });
  const nodes = [...new Set(cpus.map(({ numa }) => numa))].sort((a, b) => a - b);
  const must = held === undefined ? reusable.map(place) : [];
  const all = cpus.map(({ id }) => place(id));
  const aligned = alignSockets ? socketAligned(cpus) : undefined;
  return new Map([['cpu', spreadHints(nodes, all, (held ?? free).map(place), must, count, aligned)]]);
}

/** Whether a set of nodes spans no more sockets than as many nodes as are needed must. */
function socketAligned(cpus: readonly Cpu[]): (affinity: NumaMask, least: number) => boolean {
  const sockets = new Set(cpus.map(({ socket }) => socket)).size;
  const nodesOfSocket = Math.floor(new Set(cpus.map(({ numa }) => numa)).size / sockets);
  return (affinity, least) =>
    nodesOfSocket > 0 && socketsOf(cpus, affinity).size === Math.ceil(least / nodesOfSocket);
}

function socketsOf(cpus: readonly Cpu[], affinity: NumaMask): Set<number> {
  return new Set(cpus.filter(({ numa }) => hasNode(affinity, numa)).map(({ socket }) => socket));
}

interface Taking {
  free: readonly number[];
  reusable: readonly number[];
  count: number;
  affinity: NumaMask | undefined;
}

/** Takes CPUs of the nodes of `affinity` as far as there are any, and of these the ones the pod has already. */
export function takeNear(
  all: readonly Cpu[],
  { free, reusable, count, affinity }: Taking,
  placing: Placing = {},
): number[] | undefined {
  if (reusable.length + free.length < count) return undefined;
  const isNear = nearness(all, affinity, placing);
  const isFar = (id: number) => !isNear(id);
  const pools = [reusable.filter(isNear), free.filter(isNear), reusable.filter(isFar), free.filter(isFar)];
  const taken: number[] = [];
  for (const pool of pools) {
    const some = takeFrom(all, pool, Math.min(pool.length, count - taken.length), placing);
    taken.push(...(some ?? []));
  }
  return taken.sort((a, b) => a - b);
}

function takeFrom(
  all: readonly Cpu[],
  pool: readonly number[],
  count: number,
  { acrossNuma = false, groupSize = 1, ...packing }: Placing,
): number[] | undefined {
  return acrossNuma
    ? takeDistributed(all, pool, count, { groupSize, packing })
    : takePacked(all, pool, count, packing);
}

/** Whether a CPU is where it should come from: on the nodes of the affinity, or on their sockets. */
function nearness(
  all: readonly Cpu[],
  affinity: NumaMask | undefined,
  { alignSockets = false }: Placing,
): (id: number) => boolean {
  if (affinity === undefined) return () => true;
  const sockets = alignSockets ? socketsOf(all, affinity) : new Set<number>();
  const near = all.filter(({ numa, socket }) => hasNode(affinity, numa) || sockets.has(socket));
  const ids = new Set(near.map(({ id }) => id));
  return (id) => ids.has(id);
}
