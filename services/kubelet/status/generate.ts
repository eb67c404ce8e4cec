/** The status of a pod as the API shows it, from what the runtime has, the last status, and the probes. */
import type { ContainerStatus, Pod, PodCondition, PodStatus } from '#contracts/kubernetes/types.ts';
import { initContainers, isSidecar } from '../pods/containers.ts';
import { specOf, uidOf } from '../pods/identity.ts';
import type { ProbeManager } from '../ports.ts';
import type { RuntimePodStatus } from '../runtime-manager/model.ts';
import { conditionsOf, ownedConditions } from './conditions.ts';
import { timeText } from './container-state.ts';
import { containerStatuses } from './container-statuses.ts';
import { deadlineVerdict } from './deadline.ts';
import { type Phase, phaseOf } from './phase.ts';
import { qosClassOf } from './qos.ts';
import type { ReasonCache } from './reason-cache.ts';
import { allRestarting } from './restarting.ts';

export interface GenerateDeps {
  reasons: Pick<ReasonCache, 'get'>;
  probes: Pick<ProbeManager, 'result' | 'hasWorker' | 'triggerReadiness'>;
  runtimeName(): string;
  /** The node's addresses, the primary first; empty without an API server (kubelet-facts 4). */
  hostIps(): string[];
  /** Resize conditions of a pod. */
  /** What a pod as a whole was granted and has; empty for pods without resources of their own. */
  podResources(pod: Pod): Pick<PodStatus, 'resources' | 'allocatedResources'>;
  resizeConditions(uid: string): Omit<PodCondition, 'lastTransitionTime'>[];
  now(): number;
}

/** How to look at the pod. */
export interface GenerateRequest {
  pod: Pod;
  runtime: RuntimePodStatus;
  /** The last status the kubelet made, else the API's. */
  before: PodStatus | undefined;
  /** Whether the pod is being ended for good. */
  terminated: boolean;
}

/** Makes the status. */
export function generateStatus(deps: GenerateDeps, request: GenerateRequest): PodStatus {
  const { pod, runtime, before, terminated } = request;
  const statuses = statusesOf(deps, request);
  const now = timeText(deps.now());
  const computed = stickyPhase(phaseOf(pod, statuses, terminated), before, pod.status);
  const same = before?.phase === computed;
  const overdue = deadlineVerdict(pod, before, deps.now());
  const phase: Phase = overdue !== undefined && !isOver(computed) ? 'Failed' : computed;
  const verdict = phase === computed ? undefined : overdue;
  const extra = [...deps.resizeConditions(uidOf(pod)), ...allRestarting(pod, runtime, before)];
  const conditions = conditionsOf({
    pod,
    phase,
    runtime,
    containerStatuses: statuses.containerStatuses,
    initContainerStatuses: statuses.initContainerStatuses,
    before: mergedConditions(before, pod.status),
    extra,
    now,
  });
  return {
    ...(pod.metadata.generation === undefined ? {} : { observedGeneration: pod.metadata.generation }),
    phase,
    ...kept('reason', verdict?.reason ?? (same ? before?.reason : undefined)),
    ...kept('message', verdict?.message ?? (same ? before?.message : undefined)),
    conditions,
    startTime: before?.startTime ?? now,
    ...addresses(deps, pod, runtime, before),
    qosClass: before?.qosClass ?? qosClassOf(pod),
    ...(initContainers(pod).length > 0 ? { initContainerStatuses: statuses.initContainerStatuses } : {}),
    containerStatuses: statuses.containerStatuses,
    ...(statuses.ephemeralContainerStatuses.length > 0
      ? { ephemeralContainerStatuses: statuses.ephemeralContainerStatuses }
      : {}),
    ...deps.podResources(pod),
    ...kept('resourceClaimStatuses', before?.resourceClaimStatuses),
    ...kept('nominatedNodeName', before?.nominatedNodeName),
  };
}

function kept<K extends string, V>(key: K, value: V | undefined): { [P in K]?: V } {
  return value === undefined ? {} : ({ [key]: value } as { [P in K]?: V });
}

function isOver(phase: string | undefined): phase is 'Succeeded' | 'Failed' {
  return phase === 'Succeeded' || phase === 'Failed';
}

/**
 * A terminal phase never changes, whether the API or the kubelet has it: of a pod that was evicted or ended for a
 * shutdown the reason stays, also when its containers then end well.
 */
function stickyPhase(phase: Phase, before: PodStatus | undefined, api: PodStatus | undefined): Phase {
  if (isOver(api?.phase)) return api.phase;
  return isOver(before?.phase) ? before.phase : phase;
}

/** The kubelet's own last conditions, and others' newest from the API. */
function mergedConditions(before: PodStatus | undefined, api: PodStatus | undefined): PodCondition[] {
  const own = before?.conditions ?? [];
  const others = (api?.conditions ?? []).filter(({ type }) => !own.some((each) => each.type === type));
  const newer = own.map((condition) => {
    const fromApi = api?.conditions?.find(({ type }) => type === condition.type);
    return fromApi !== undefined && isForeign(condition.type) ? fromApi : condition;
  });
  return [...newer, ...others];
}

/** A condition that others set: readiness gates. */
function isForeign(type: string): boolean {
  return !ownedConditions.has(type) && type !== 'DisruptionTarget';
}

function statusesOf(deps: GenerateDeps, { pod, runtime, before }: GenerateRequest) {
  const spec = specOf(pod);
  const common = { pod, runtime, reasons: deps.reasons, runtimeName: deps.runtimeName() };
  const old = (list: ContainerStatus[] | undefined) => list ?? [];
  const statuses = {
    initContainerStatuses: containerStatuses({
      ...common,
      kind: 'init',
      containers: initContainers(pod),
      before: old(before?.initContainerStatuses),
    }),
    containerStatuses: containerStatuses({
      ...common,
      kind: 'regular',
      containers: spec.containers,
      before: old(before?.containerStatuses),
    }),
    ephemeralContainerStatuses: containerStatuses({
      ...common,
      kind: 'ephemeral',
      containers: spec.ephemeralContainers ?? [],
      before: old(before?.ephemeralContainerStatuses),
    }),
  };
  limitMessages(pod, statuses);
  for (const status of statuses.containerStatuses) probed(deps, pod, status);
  for (const status of statuses.initContainerStatuses) {
    const container = initContainers(pod).find(({ name }) => name === status.name);
    if (container !== undefined && isSidecar(container)) probed(deps, pod, status);
    else {
      status.ready = status.state?.terminated?.exitCode === 0;
      status.started = status.state?.running !== undefined;
    }
  }
  return statuses;
}

/** All messages of a pod together take at most 12 KiB (kubelet-facts 3). */
function limitMessages(pod: Pod, statuses: Record<string, ContainerStatus[]>): void {
  const spec = specOf(pod);
  const count = spec.containers.length + initContainers(pod).length + (spec.ephemeralContainers?.length ?? 0);
  const limit = Math.floor(12_288 / Math.max(1, count));
  for (const { state } of Object.values(statuses).flat()) {
    if (state?.terminated?.message === undefined) continue;
    const bytes = Buffer.from(state.terminated.message);
    if (bytes.length > limit) state.terminated.message = bytes.subarray(0, limit).toString();
  }
}

/** Started and ready, from the probes; a container without a probe is both as soon as it runs. */
function probed(deps: GenerateDeps, pod: Pod, status: ContainerStatus): void {
  const uid = uidOf(pod);
  const id = status.containerID?.split('://')[1] ?? '';
  if (status.state?.running === undefined) return;
  const startup = deps.probes.result('startup', id);
  const waits = deps.probes.hasWorker('startup', uid, status.name);
  status.started = startup === undefined ? !waits : startup === 'success';
  if (!status.started) return;
  const readiness = deps.probes.result('readiness', id);
  if (readiness !== undefined) status.ready = readiness === 'success';
  else status.ready = !deps.probes.hasWorker('readiness', uid, status.name);
  if (!status.ready) deps.probes.triggerReadiness(uid, status.name);
}

function addresses(
  deps: GenerateDeps,
  pod: Pod,
  runtime: RuntimePodStatus,
  before: PodStatus | undefined,
): Pick<PodStatus, 'hostIP' | 'hostIPs' | 'podIP' | 'podIPs'> {
  const hosts = deps.hostIps();
  const hostNetwork = specOf(pod).hostNetwork === true;
  const own = hostNetwork ? hosts : onePerFamily(runtime.ips, hosts[0]);
  const kept = own.length === 0 ? (before?.podIPs ?? []).flatMap(({ ip }) => ip ?? []) : own;
  return {
    ...(hosts[0] === undefined ? {} : { hostIP: hosts[0], hostIPs: hosts.map((ip) => ({ ip })) }),
    ...(kept[0] === undefined ? {} : { podIP: kept[0], podIPs: kept.map((ip) => ({ ip })) }),
  };
}

/** At most one address of each family, the node's primary family first. */
function onePerFamily(ips: readonly string[], primary: string | undefined): string[] {
  const isV6 = (ip: string) => ip.includes(':');
  const v4 = ips.find((ip) => !isV6(ip));
  const v6 = ips.find(isV6);
  const first = primary === undefined ? ips[0] : primary;
  const ordered = first !== undefined && isV6(first) ? [v6, v4] : [v4, v6];
  return ordered.filter((ip) => ip !== undefined);
}
