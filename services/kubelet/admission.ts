/**
 * Whether a pod fits on this node: its operating system and groups policy, what it requests against what is left, its
 * node selector and affinity, host ports and taints (the original's node predicates, in its order and words). For a
 * critical pod that finds too little left, others make room.
 */
import { selectsNode, tolerates } from '#contracts/kubernetes/node-selection.ts';
import type { Node, Pod, Taint } from '#contracts/kubernetes/types.ts';
import { messageOf } from '#foundation/base/errors.ts';
import type { NodeResources } from './node/capacity.ts';
import { extendedOf } from './node/extended.ts';
import type { NodeFactsView } from './node/node-info.ts';
import type { Admission, AdmitResult } from './ports.ts';
import type { Shortage } from './preemption/victims.ts';
import { podRequest } from './resources/linux-resources.ts';
import { isCritical, isStatic } from './resources/qos.ts';

const fine: AdmitResult = { admit: true };

/** What admission looks at. */
export interface AdmissionDeps {
  node: Pick<NodeFactsView, 'allocatable' | 'name'>;
  /** `--node-labels`. */
  labels: Readonly<Record<string, string>>;
  /** The Node as the API has it, with what others put on it; undefined without an API, or before it is there. */
  apiNode?: () => Node | undefined;
  /** The same, asked anew: the copy may be older than what the scheduler saw. */
  freshNode?: () => Promise<Node | undefined>;
  /** Whether a pod was given devices of a resource before: a broken one does not end it. */
  holds?: (pod: Pod, resource: string) => boolean;
  /** Whether the runtime can keep to `supplementalGroupsPolicy: Strict`. */
  strictGroups?: () => boolean;
  /** Makes room for a critical pod. @throws SkiffError saying why there is none to be made. */
  makeRoom?: (pod: Pod, others: readonly Pod[], shortages: readonly Shortage[]) => Promise<void>;
}

/** Why a pod may not be here: too little of something, or a predicate that does not hold. */
type Problem = { shortage: Shortage; want: number; used: number; capacity: number } | AdmitResult;

/** What predicates see of the node. */
interface Known extends Pick<Node, 'metadata'> {
  taints: readonly Taint[];
  /** Extended resources that others wrote into the Node's status, in pieces. */
  extended: ReadonlyMap<string, number>;
}

const affinity = predicate('NodeAffinity', "node(s) didn't match Pod's node affinity/selector");
const ports = predicate('NodePorts', "node(s) didn't have free ports for the requested pod ports");
const taints = predicate('TaintToleration', "node(s) had taints that the pod didn't tolerate");

export function createAdmission(deps: AdmissionDeps): Admission {
  const { node } = deps;
  return {
    admit: (pod, others) => admit(deps, pod, others),
    fits(pod, others) {
      const allocatable = node.allocatable();
      const alone = capacityProblem(pod, allocatable);
      if (alone !== undefined) return { ...alone, infeasible: true };
      const [first] = shortagesOf(pod, others, allocatable);
      return first === undefined ? fine : verdictOf(first);
    },
    retain: () => {},
  };
}

async function admit(deps: AdmissionDeps, pod: Pod, others: readonly Pod[]): Promise<AdmitResult> {
  const never = osProblem(pod) ?? groupsProblem(pod, deps);
  if (never !== undefined) return never;
  let problems = problemsOf(deps, pod, others, nodeOf(deps, deps.apiNode?.()));
  if (problems.length > 0 && problems.every((each) => each === affinity))
    problems = problemsOf(deps, pod, others, nodeOf(deps, await freshNode(deps)));
  const [first] = problems;
  if (first === undefined) return fine;
  if (deps.makeRoom === undefined || !isCritical(pod)) return verdictOf(first);
  // What is short can be had for a critical pod, the rest cannot.
  const other = problems.find((each) => !('shortage' in each));
  if (other !== undefined) return verdictOf(other);
  try {
    const shortages = problems.flatMap((each) => ('shortage' in each ? [each.shortage] : []));
    await deps.makeRoom(pod, others, shortages);
    return fine;
  } catch (error) {
    const why = `Unexpected error while attempting to recover from admission failure: ${messageOf(error)}`;
    return { admit: false, reason: 'UnexpectedAdmissionError', message: why };
  }
}

/** The node as predicates see it: with the API's labels and taints where there is an API. */
function nodeOf({ node, labels }: AdmissionDeps, known: Node | undefined): Known {
  const own = { ...labels, ...ownLabels(node.name) };
  return {
    metadata: { name: node.name, labels: { ...own, ...known?.metadata.labels } },
    taints: known?.spec?.taints ?? [],
    extended: extendedOf(known?.status?.allocatable),
  };
}

async function freshNode({ apiNode, freshNode: ask }: AdmissionDeps): Promise<Node | undefined> {
  return (await ask?.().catch(() => undefined)) ?? apiNode?.();
}

function ownLabels(name: string): Record<string, string> {
  const arch = { x64: 'amd64', arm64: 'arm64' }[process.arch as string] ?? process.arch;
  return { 'kubernetes.io/hostname': name, 'kubernetes.io/os': 'linux', 'kubernetes.io/arch': arch };
}

/** Everything that is in the way; the first is what is told. */
function problemsOf(deps: AdmissionDeps, pod: Pod, others: readonly Pod[], node: Known): Problem[] {
  const { holds = () => false } = deps;
  return [
    ...shortagesOf(pod, others, withoutHeld(pod, withExtended(deps.node.allocatable(), node), holds)),
    ...(selectsNode(pod, node) ? [] : [affinity]),
    ...(portsClash(pod, others) ? [ports] : []),
    ...(isTainted(pod, node.taints) ? [taints] : []),
  ];
}

function predicate(reason: string, why: string): AdmitResult {
  return { admit: false, reason, message: `Predicate ${reason} failed: ${why}` };
}

function verdictOf(problem: Problem): AdmitResult {
  if (!('shortage' in problem)) return problem;
  const { shortage, want, used, capacity } = problem;
  const numbers = `requested: ${want}, used: ${used}, capacity: ${capacity}`;
  return {
    admit: false,
    reason: `OutOf${shortage.resource}`,
    message: `Node didn't have enough resource: ${shortage.resource}, ${numbers}`,
  };
}

function osProblem(pod: Pod): AdmitResult | undefined {
  const label = pod.metadata.labels?.['kubernetes.io/os'];
  if (label !== undefined && label !== 'linux')
    return {
      admit: false,
      reason: 'PodOSSelectorNodeLabelDoesNotMatch',
      message: "Failed to admit pod as the `kubernetes.io/os` label doesn't match node label",
    };
  if (pod.spec.os === undefined || pod.spec.os.name === 'linux') return undefined;
  const message = "Failed to admit pod as the OS field doesn't match node OS";
  return { admit: false, reason: 'PodOSNotSupported', message };
}

function groupsProblem({ spec }: Pod, { strictGroups = () => true }: AdmissionDeps): AdmitResult | undefined {
  if (spec.securityContext?.supplementalGroupsPolicy !== 'Strict' || strictGroups()) return undefined;
  const message = 'SupplementalGroupsPolicy=Strict is not supported in this node';
  return { admit: false, reason: 'SupplementalGroupsPolicyNotSupported', message };
}

function hostPorts({ spec }: Pod): { ip: string; protocol: string; port: number }[] {
  const sidecars = (spec.initContainers ?? []).filter(({ restartPolicy }) => restartPolicy === 'Always');
  return [...spec.containers, ...sidecars].flatMap(({ ports: own = [] }) =>
    own.flatMap(({ hostPort = 0, hostIP = '', protocol = 'TCP' }) =>
      hostPort > 0 ? [{ port: hostPort, ip: hostIP || '0.0.0.0', protocol }] : [],
    ),
  );
}

function portsClash(pod: Pod, others: readonly Pod[]): boolean {
  const taken = others.flatMap(hostPorts);
  return hostPorts(pod).some(({ ip, protocol, port }) =>
    taken.some((other) => {
      const sameIp = ip === other.ip || ip === '0.0.0.0' || other.ip === '0.0.0.0';
      return sameIp && protocol === other.protocol && port === other.port;
    }),
  );
}

/** Only what also drives pods away counts, and static pods are not moved. */
function isTainted(pod: Pod, all: readonly Taint[]): boolean {
  const own = all.filter(({ effect }) => effect === 'NoExecute');
  return !isStatic(pod) && own.some((taint) => !tolerates(pod.spec.tolerations ?? [], taint));
}

/** What the node offers with what others advertise on it; of a resource with a device plugin the plugin knows more. */
function withExtended(allocatable: NodeResources, { extended }: Known): NodeResources {
  return { ...allocatable, devices: new Map([...extended, ...allocatable.devices]) };
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

/** Requests against what is allocatable, in the original's order. */
function shortagesOf(pod: Pod, others: readonly Pod[], allocatable: NodeResources): Problem[] {
  const own = podRequests(pod);
  const taken = others.map(podRequests);
  const amount = (name: string) => taken.reduce((total, each) => total + (each.get(name) ?? 0), 0);
  const rows = [
    { resource: 'pods', want: 1, used: others.length, capacity: allocatable.pods },
    ...[...offered(allocatable)].map(([resource, capacity]) => ({
      resource,
      want: own.get(resource) ?? 0,
      used: amount(resource),
      capacity,
    })),
  ];
  return rows
    .filter(({ want, used, capacity }) => want > 0 && used + want > capacity)
    .map(({ resource, want, used, capacity }) => ({
      shortage: { resource, amount: want - (capacity - used) },
      want,
      used,
      capacity,
    }));
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
