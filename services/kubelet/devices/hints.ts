/** From which NUMA nodes devices could be given: hints for the topology manager. */
import type { Pod } from '#contracts/kubernetes/types.ts';
import type { AnyContainer } from '../ports.ts';
import { amountOf } from '../resources/amounts.ts';
import type { Hints, TopologyHint } from '../resources/topology/hints.ts';
import type { Giver } from '../resources/topology/manager.ts';
import { spreadHints } from '../resources/topology/spread.ts';
import type { Allocation, Allocations } from './allocations.ts';
import type { Device } from './plugin-client.ts';

/** The devices of one resource. */
export interface DeviceList {
  devices: readonly Device[];
}

/** What a container was given. */
export function heldBy(allocations: Allocations, pod: Pod, container: string): Allocation[] {
  return allocations.all().filter((each) => each.podUid === pod.metadata.uid && each.container === container);
}

/** Devices of init containers that no container of the pod holds that runs beside or after them. */
export function reusableOf(allocations: Allocations, pod: Pod, resource: string): Set<string> {
  const passing = (pod.spec.initContainers ?? []).filter((each) => each.restartPolicy !== 'Always');
  const names = new Set(passing.map(({ name }) => name));
  const own = allocations
    .all()
    .filter((each) => each.podUid === pod.metadata.uid && each.resource === resource);
  const idsOf = (wanted: boolean) =>
    own.filter(({ container }) => names.has(container) === wanted).flatMap(({ ids }) => ids);
  const kept = new Set(idsOf(false));
  return new Set(idsOf(true).filter((id) => !kept.has(id)));
}

/** Makes the hints of the devices of a node. */
export function deviceHints(
  resources: ReadonlyMap<string, DeviceList>,
  allocations: Allocations,
  numaNodes: readonly number[],
): Pick<Giver, 'hints' | 'podHints'> {
  const listFor = (
    name: string,
    count: number,
    held: readonly string[],
    reusable: ReadonlySet<string>,
  ): TopologyHint[] | undefined => {
    const all = resources.get(name)?.devices ?? [];
    // Devices that say nothing of their place can be anywhere.
    if (!all.some((device) => device.numaNodes.length > 0)) return undefined;
    if (held.length > 0 && held.length !== count) return [];
    const taken = new Set(allocations.all().flatMap((each) => (each.resource === name ? each.ids : [])));
    const isFree = ({ id, healthy }: Device) => healthy && !taken.has(id);
    const available = all.filter((device) => (held.length > 0 ? held.includes(device.id) : isFree(device)));
    const must = held.length > 0 ? [] : all.filter(({ id }) => reusable.has(id));
    if (available.length + must.length < count) return [];
    const place = (device: Device) => ({ nodes: device.numaNodes });
    return spreadHints(numaNodes, all.map(place), available.map(place), must.map(place), count);
  };
  return {
    hints(pod, container) {
      const hints = new Map<string, TopologyHint[] | undefined>();
      for (const [name, count] of requested(container, resources)) {
        const held = heldBy(allocations, pod, container.name).flatMap((each) =>
          each.resource === name ? each.ids : [],
        );
        hints.set(name, listFor(name, count, held, reusableOf(allocations, pod, name)));
      }
      return hints as Hints;
    },
    podHints(pod) {
      const hints = new Map<string, TopologyHint[] | undefined>();
      for (const [name, count] of requestedByPod(pod, resources)) {
        const own = allocations
          .all()
          .filter((each) => each.podUid === pod.metadata.uid && each.resource === name);
        const held = [...new Set(own.flatMap(({ ids }) => ids))];
        hints.set(name, listFor(name, count, held, new Set()));
      }
      return hints as Hints;
    },
  };
}

function requested(container: AnyContainer, resources: ReadonlyMap<string, DeviceList>): Map<string, number> {
  const counts = new Map<string, number>();
  for (const [name, text] of Object.entries(container.resources?.limits ?? {}))
    if (resources.has(name) && amountOf(text) > 0) counts.set(name, amountOf(text));
  return counts;
}

/** All containers together, or the largest init container with the sidecars before it. */
function requestedByPod(pod: Pod, resources: ReadonlyMap<string, DeviceList>): Map<string, number> {
  const total = new Map<string, number>();
  const peak = new Map<string, number>();
  for (const container of pod.spec.initContainers ?? [])
    for (const [name, count] of requested(container, resources)) {
      const sum = (total.get(name) ?? 0) + count;
      peak.set(name, Math.max(peak.get(name) ?? 0, sum));
      if (container.restartPolicy === 'Always') total.set(name, sum);
    }
  for (const container of pod.spec.containers)
    for (const [name, count] of requested(container, resources))
      total.set(name, (total.get(name) ?? 0) + count);
  for (const [name, count] of peak) total.set(name, Math.max(total.get(name) ?? 0, count));
  return total;
}
