/** Whether a pod fits a node, and if not, why: the scheduler's filters with the original's words. */
import { containerRequests } from '#contracts/kubernetes/defaults/pod.ts';
import { selectsNode, tolerates } from '#contracts/kubernetes/node-selection.ts';
import { addQuantities, quantity, subtractQuantities } from '#contracts/kubernetes/quantity.ts';
import type { Node, Pod, Taint } from '#contracts/kubernetes/types.ts';

/** Why a pod cannot run on a node; empty if it can. @param others the pods that are on the node. */
export function unfit(pod: Pod, node: Node, others: readonly Pod[]): string[] {
  return [
    ...unschedulable(pod, node),
    ...affinity(pod, node),
    ...taints(pod, node),
    ...ports(pod, others),
    ...resources(pod, node, others),
  ];
}

function unschedulable({ spec }: Pod, node: Node): string[] {
  const taint = { key: 'node.kubernetes.io/unschedulable', effect: 'NoSchedule' };
  return node.spec?.unschedulable === true && !tolerates(spec.tolerations ?? [], taint)
    ? ['node(s) were unschedulable']
    : [];
}

/** What the node lifecycle controller makes of a node's conditions: nothing new goes where something is short. */
const pressures: Record<string, string | undefined> = {
  DiskPressure: 'node.kubernetes.io/disk-pressure',
  MemoryPressure: 'node.kubernetes.io/memory-pressure',
  PIDPressure: 'node.kubernetes.io/pid-pressure',
};

function pressureTaints({ status: podStatus }: Pod, { status }: Node): Taint[] {
  return (status?.conditions ?? []).flatMap(({ type, status: is }) => {
    const key = pressures[type];
    // Who asked for memory gets it also where it is short.
    const excused = type === 'MemoryPressure' && podStatus?.qosClass !== 'BestEffort';
    return key === undefined || is !== 'True' || excused ? [] : [{ key, effect: 'NoSchedule' }];
  });
}

function taints(pod: Pod, node: Node): string[] {
  const { spec } = pod;
  const ready = node.status?.conditions?.find((each) => each.type === 'Ready')?.status;
  const own: Taint[] = (node.spec?.taints ?? []).filter((each) => each.effect !== 'PreferNoSchedule');
  if (ready !== 'True' && !own.some((each) => each.key === 'node.kubernetes.io/not-ready'))
    own.push({ key: 'node.kubernetes.io/not-ready', effect: 'NoSchedule' });
  own.push(...pressureTaints(pod, node));
  const bad = own.find((taint) => !tolerates(spec.tolerations ?? [], taint));
  return bad === undefined ? [] : [`node(s) had untolerated taint {${bad.key}: ${bad.value ?? ''}}`];
}

function affinity(pod: Pod, node: Node): string[] {
  return selectsNode(pod, node) ? [] : ["node(s) didn't match Pod's node affinity/selector"];
}

function hostPorts({ spec }: Pod): { hostPort: number; protocol: string; hostIP: string }[] {
  return [
    ...spec.containers,
    ...(spec.initContainers ?? []).filter((each) => each.restartPolicy === 'Always'),
  ]
    .flatMap((each) => each.ports ?? [])
    .filter((port) => (port.hostPort ?? 0) > 0)
    .map(({ hostPort = 0, protocol = 'TCP', hostIP = '0.0.0.0' }) => ({ hostPort, protocol, hostIP }));
}

function ports(pod: Pod, others: readonly Pod[]): string[] {
  const taken = others.flatMap(hostPorts);
  const every = (address: string) => address === '' || address === '0.0.0.0' || address === '::';
  const clashes = hostPorts(pod).some((port) =>
    taken.some(
      (each) =>
        each.hostPort === port.hostPort &&
        each.protocol === port.protocol &&
        (every(each.hostIP) || every(port.hostIP) || each.hostIP === port.hostIP),
    ),
  );
  return clashes ? ["node(s) didn't have free ports for the requested pod ports"] : [];
}

/** What a pod takes from its node, with overhead. */
export function podRequests({ spec }: Pod): Record<string, string> {
  const total = { ...containerRequests(spec), ...spec.resources?.requests };
  for (const [name, amount] of Object.entries(spec.overhead ?? {})) {
    const sum = addQuantities(quantity(total[name] ?? '0'), quantity(amount));
    total[name] = `${sum.nanos}n`;
  }
  return total;
}

function resources(pod: Pod, node: Node, others: readonly Pod[]): string[] {
  const allocatable = node.status?.allocatable ?? {};
  const problems: string[] = [];
  if (others.length + 1 > Number(allocatable.pods ?? 110)) problems.push('Too many pods');
  for (const [name, amount] of Object.entries(podRequests(pod))) {
    const wanted = quantity(amount);
    if (wanted.nanos === 0n) continue;
    let free = quantity(allocatable[name] ?? '0');
    for (const other of others) free = subtractQuantities(free, quantity(podRequests(other)[name] ?? '0'));
    if (wanted.nanos > free.nanos) problems.push(`Insufficient ${name}`);
  }
  return problems;
}
