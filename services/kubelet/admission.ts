/**
 * Whether a pod fits on this node: its operating system, node selector, host ports, and what it requests against
 * what is left (the original's node predicates).
 */
import type { Pod } from '#contracts/kubernetes/types.ts';
import type { NodeResources } from './node/capacity.ts';
import type { NodeFactsView } from './node/node-info.ts';
import type { Admission, AdmitResult } from './ports.ts';
import { podRequest } from './resources/linux-resources.ts';

const fine: AdmitResult = { admit: true };

export function createAdmission(
  node: Pick<NodeFactsView, 'allocatable' | 'name'>,
  labels: Readonly<Record<string, string>>,
  /** Whether a pod was given devices of a resource before: a broken one does not end it. */
  holds: (pod: Pod, resource: string) => boolean = () => false,
): Admission {
  const admit = (pod: Pod, others: readonly Pod[]): AdmitResult => {
    const problem =
      osProblem(pod) ??
      selectorProblem(pod, { ...labels, ...ownLabels(node.name) }) ??
      portProblem(pod, others);
    return problem ?? resourceProblem(pod, others, withoutHeld(pod, node.allocatable(), holds)) ?? fine;
  };
  return {
    admit: async (pod, others) => admit(pod, others),
    fits(pod, others) {
      const allocatable = node.allocatable();
      const alone = capacityProblem(pod, allocatable);
      if (alone !== undefined) return { ...alone, infeasible: true };
      return resourceProblem(pod, others, allocatable) ?? fine;
    },
    retain: () => {},
  };
}

function ownLabels(name: string): Record<string, string> {
  const arch = { x64: 'amd64', arm64: 'arm64' }[process.arch as string] ?? process.arch;
  return { 'kubernetes.io/hostname': name, 'kubernetes.io/os': 'linux', 'kubernetes.io/arch': arch };
}

function osProblem(pod: Pod): AdmitResult | undefined {
  const wanted = pod.spec.os?.name ?? pod.spec.nodeSelector?.['kubernetes.io/os'];
  if (wanted === undefined || wanted === '' || wanted === 'linux') return undefined;
  return {
    admit: false,
    reason: 'PodOSNotSupported',
    message: `Failed to admit pod as the OS field doesn't match node OS`,
  };
}

function selectorProblem(pod: Pod, labels: Record<string, string>): AdmitResult | undefined {
  const wanted = Object.entries(pod.spec.nodeSelector ?? {});
  if (wanted.every(([key, value]) => labels[key] === value)) return undefined;
  const message = "Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector";
  return { admit: false, reason: 'NodeAffinity', message };
}

function hostPorts(pod: Pod): { ip: string; protocol: string; port: number }[] {
  return pod.spec.containers.flatMap(({ ports = [] }) =>
    ports.flatMap(({ hostPort = 0, hostIP = '', protocol = 'TCP' }) =>
      hostPort > 0 ? [{ port: hostPort, ip: hostIP || '0.0.0.0', protocol }] : [],
    ),
  );
}

function portProblem(pod: Pod, others: readonly Pod[]): AdmitResult | undefined {
  const taken = others.flatMap(hostPorts);
  const clash = hostPorts(pod).some(({ ip, protocol, port }) =>
    taken.some((other) => {
      const sameIp = ip === other.ip || ip === '0.0.0.0' || other.ip === '0.0.0.0';
      return sameIp && protocol === other.protocol && port === other.port;
    }),
  );
  if (!clash) return undefined;
  const message = "Predicate NodePorts failed: node(s) didn't have free ports for the requested pod ports";
  return { admit: false, reason: 'NodePorts', message };
}

/** What is to be compared: devices that the pod has already are not asked for again. */
function withoutHeld(
  pod: Pod,
  allocatable: NodeResources,
  holds: (pod: Pod, resource: string) => boolean,
): NodeResources {
  const devices = new Map([...allocatable.devices].filter(([name]) => !holds(pod, name)));
  return { ...allocatable, devices };
}

/** Whether the pod would not fit even if it had the node for itself. */
function capacityProblem(pod: Pod, allocatable: NodeResources): AdmitResult | undefined {
  const own = podRequests(pod);
  for (const name of ['cpu', 'memory']) {
    const [want, capacity] = [own.get(name) ?? 0, offered(allocatable).get(name) ?? 0];
    if (want <= capacity) continue;
    const message = `Node didn't have enough capacity: ${name}, requested: ${want}, capacity: ${capacity}`;
    return { admit: false, reason: `OutOf${name}`, message };
  }
  return undefined;
}

/** Requests against what is allocatable, in the original's order and words. */
function resourceProblem(
  pod: Pod,
  others: readonly Pod[],
  allocatable: NodeResources,
): AdmitResult | undefined {
  const own = podRequests(pod);
  const used = others.map(podRequests);
  const amount = (name: string) => used.reduce((total, each) => total + (each.get(name) ?? 0), 0);
  const rows = [
    { name: 'pods', want: 1, used: others.length, capacity: allocatable.pods },
    ...[...offered(allocatable)].map(([name, capacity]) => ({
      name,
      want: own.get(name) ?? 0,
      used: amount(name),
      capacity,
    })),
  ];
  const short = rows.find((row) => row.want > 0 && row.used + row.want > row.capacity);
  if (short === undefined) return undefined;
  const numbers = `requested: ${short.want}, used: ${short.used}, capacity: ${short.capacity}`;
  return {
    admit: false,
    reason: `OutOf${short.name}`,
    message: `Node didn't have enough resource: ${short.name}, ${numbers}`,
  };
}

/**
 * What the node offers; milliCPU, bytes, pieces. Extended resources that it does not know are left to whoever put the
 * pod here, as in the original.
 */
function offered(allocatable: NodeResources): Map<string, number> {
  const { milliCpu, memory, ephemeralStorage, hugePages, devices } = allocatable;
  const pages = [...hugePages].map(([size, bytes]): [string, number] => [`hugepages-${size}`, bytes]);
  return new Map([
    ['cpu', milliCpu],
    ['memory', memory],
    ['ephemeral-storage', ephemeralStorage],
    ...pages,
    ...devices,
  ]);
}

function podRequests(pod: Pod): Map<string, number> {
  const names = new Set(
    [...(pod.spec.initContainers ?? []), ...pod.spec.containers, pod.spec].flatMap(({ resources }) => [
      ...Object.keys(resources?.requests ?? {}),
      ...Object.keys(resources?.limits ?? {}),
    ]),
  );
  for (const name of Object.keys(pod.spec.overhead ?? {})) names.add(name);
  return new Map([...names].map((name) => [name, podRequest(pod, name)]));
}
