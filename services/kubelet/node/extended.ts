/**
 * Extended resources that somebody advertised by a patch of the Node's status (kubernetes.io/docs: Advertise Extended
 * Resources for a Node): the kubelet keeps them, offers to pods what the capacity says, and counts them at admission.
 */
import type { NodeStatus } from '#contracts/kubernetes/types.ts';
import { amountOf } from '../resources/amounts.ts';

/** Whether a name is that of an extended resource: of somebody's domain, and not of Kubernetes' own. */
function isExtended(name: string): boolean {
  return name.includes('/') && !name.includes('kubernetes.io/') && !name.startsWith('requests.');
}

/** The extended resources of a list of quantities, in pieces. */
export function extendedOf(quantities: Readonly<Record<string, string>> = {}): Map<string, number> {
  return new Map(
    Object.entries(quantities).flatMap(([name, text]) =>
      isExtended(name) ? [[name, amountOf(text)] as const] : [],
    ),
  );
}

/**
 * The status to report where the API has extended resources that no device plugin serves: of what somebody advertised
 * all is allocatable, of what a plugin served that is gone nothing is left, and null takes back what is allocatable
 * without any capacity.
 *
 * @param known the status as the API has it.
 * @param own the status as the kubelet means it.
 * @param served the resources that the kubelet has reported itself so far; those of `own` are added.
 */
export function keepExtended(
  known: NodeStatus | undefined,
  own: NodeStatus,
  served: Set<string>,
): NodeStatus {
  for (const name of Object.keys(own.capacity ?? {})) served.add(name);
  const foreign = Object.entries(known?.capacity ?? {}).filter(
    ([name]) => isExtended(name) && own.capacity?.[name] === undefined,
  );
  const kept = foreign.map(([name, amount]) => [name, served.has(name) ? '0' : amount] as const);
  const capacity = { ...own.capacity, ...Object.fromEntries(kept) };
  const withdrawn = Object.keys(known?.allocatable ?? {})
    .filter((name) => isExtended(name) && capacity[name] === undefined)
    .map((name) => [name, null]);
  const allocatable = { ...own.allocatable, ...Object.fromEntries([...kept, ...withdrawn]) };
  return { ...own, capacity, allocatable };
}
