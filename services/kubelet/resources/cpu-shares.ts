/** How many CPUs containers get for themselves, which these could be, and on which NUMA nodes they are. */
import type { Pod } from '#contracts/kubernetes/types.ts';
import type { AnyContainer } from '../ports.ts';
import { milliCpuOf } from './amounts.ts';
import { type Cpu, takePacked } from './cpu-topology.ts';
import { hasPodLevel, qosOf } from './qos.ts';
import type { Hints } from './topology/hints.ts';
import { hasNode, type NumaMask } from './topology/mask.ts';
import { spreadHints } from './topology/spread.ts';

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
): Hints {
  const { count, held, free, reusable } = wanted;
  if (count === 0) return new Map();
  if (held !== undefined && held.length !== count) return new Map([['cpu', []]]);
  const place = (id: number) => ({ nodes: cpus.flatMap((cpu) => (cpu.id === id ? [cpu.numa] : [])) });
  const nodes = [...new Set(cpus.map(({ numa }) => numa))].sort((a, b) => a - b);
  const must = held === undefined ? reusable.map(place) : [];
  const all = cpus.map(({ id }) => place(id));
  return new Map([['cpu', spreadHints(nodes, all, (held ?? free).map(place), must, count)]]);
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
): number[] | undefined {
  if (reusable.length + free.length < count) return undefined;
  const isNear = (id: number) =>
    affinity === undefined || all.some((cpu) => cpu.id === id && hasNode(affinity, cpu.numa));
  const isFar = (id: number) => !isNear(id);
  const pools = [reusable.filter(isNear), free.filter(isNear), reusable.filter(isFar), free.filter(isFar)];
  const taken: number[] = [];
  for (const pool of pools) {
    const some = takePacked(all, pool, Math.min(pool.length, count - taken.length));
    taken.push(...(some ?? []));
  }
  return taken.sort((a, b) => a - b);
}
