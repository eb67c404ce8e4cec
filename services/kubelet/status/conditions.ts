/** The conditions of a pod that the kubelet owns (kubelet-facts 4). */
import type { ContainerStatus, Pod, PodCondition } from '#contracts/kubernetes/types.ts';
import { initContainers, isSidecar } from '../pods/containers.ts';
import { specOf } from '../pods/identity.ts';
import type { RuntimePodStatus } from '../runtime-manager/model.ts';
import type { Phase } from './phase.ts';

type Verdict = Pick<PodCondition, 'status' | 'reason' | 'message'>;

const yes: Verdict = { status: 'True' };

/** The kubelet's own; conditions of all other types are kept as they are. */
export const ownedConditions: ReadonlySet<string> = new Set([
  'PodScheduled',
  'PodReadyToStartContainers',
  'Initialized',
  'ContainersReady',
  'Ready',
  'PodResizePending',
  'PodResizeInProgress',
  'AllContainersRestarting',
]);

/** What conditions are made from. */
export interface ConditionsRequest {
  pod: Pod;
  phase: Phase;
  runtime: RuntimePodStatus;
  containerStatuses: readonly ContainerStatus[];
  initContainerStatuses: readonly ContainerStatus[];
  /** All conditions as they were: readiness gates look at them, and times of transition are kept. */
  before: readonly PodCondition[];
  /** Further conditions of the kubelet's: resize, eviction. */
  extra: readonly Omit<PodCondition, 'lastTransitionTime'>[];
  now: string;
}

/** All conditions: the kubelet's in the original's order, then the others as they were. */
export function conditionsOf(request: ConditionsRequest): PodCondition[] {
  const ready = readyVerdict(request);
  const verdicts: [string, Verdict][] = [
    ['PodReadyToStartContainers', sandboxVerdict(request)],
    ['Initialized', initializedVerdict(request)],
    ['Ready', ready],
    ['ContainersReady', containersVerdict(request)],
    ['PodScheduled', yes],
  ];
  const own = [...verdicts.map(([type, verdict]) => ({ type, ...verdict })), ...request.extra];
  const types = new Set(own.map((condition) => condition.type));
  const kept = request.before.filter(({ type }) => !types.has(type) && !ownedConditions.has(type));
  const generation = request.pod.metadata.generation;
  const observed = generation === undefined ? {} : { observedGeneration: generation };
  return [...own.map((condition) => dated({ ...condition, ...observed }, request)), ...kept];
}

/** Sets the time of transition: it moves only when the status does. */
export function dated(
  condition: Omit<PodCondition, 'lastTransitionTime'>,
  { before, now }: Pick<ConditionsRequest, 'before' | 'now'>,
): PodCondition {
  const old = before.find(({ type }) => type === condition.type);
  const since = old?.status === condition.status ? (old.lastTransitionTime ?? now) : now;
  return { ...condition, lastProbeTime: undefined, lastTransitionTime: since };
}

function sandboxVerdict({ pod, runtime }: ConditionsRequest): Verdict {
  const sandbox = runtime.sandboxes[0];
  const hasNetwork = specOf(pod).hostNetwork === true || (sandbox?.ips.length ?? 0) > 0;
  return { status: sandbox?.ready === true && hasNetwork ? 'True' : 'False' };
}

function initializedVerdict({
  pod,
  phase,
  containerStatuses,
  initContainerStatuses,
}: ConditionsRequest): Verdict {
  const inits = initContainers(pod);
  if (inits.length > 0 && initContainerStatuses.length === 0) {
    return { status: 'False', reason: 'UnknownContainerStatuses' };
  }
  const unknown: string[] = [];
  const incomplete: string[] = [];
  for (const container of inits) {
    const status = initContainerStatuses.find(({ name }) => name === container.name);
    const passed = isSidecar(container) ? status?.started === true : status?.ready === true;
    if (status === undefined) unknown.push(container.name);
    else if (!passed) incomplete.push(container.name);
  }
  if (phase === 'Succeeded' && unknown.length === 0) return { status: 'True', reason: 'PodCompleted' };
  const running = containerStatuses.some(
    ({ state }) => state?.running !== undefined || state?.terminated !== undefined,
  );
  if ((unknown.length === 0 && incomplete.length === 0) || running) return yes;
  return notYet('ContainersNotInitialized', unknown, incomplete, 'incomplete');
}

function notYet(reason: string, unknown: string[], pending: string[], word: string): Verdict {
  const parts = [
    ...(unknown.length > 0 ? [`containers with unknown status: [${unknown.join(' ')}]`] : []),
    ...(pending.length > 0 ? [`containers with ${word} status: [${pending.join(' ')}]`] : []),
  ];
  return { status: 'False', reason, message: parts.join(', ') };
}

function containersVerdict(request: ConditionsRequest): Verdict {
  const { pod, phase, containerStatuses, initContainerStatuses } = request;
  if (containerStatuses.length === 0) return { status: 'False', reason: 'UnknownContainerStatuses' };
  const unknown: string[] = [];
  const unready: string[] = [];
  const sidecars = initContainers(pod).filter(isSidecar);
  const all = [...initContainerStatuses, ...containerStatuses];
  for (const container of [...sidecars, ...specOf(pod).containers]) {
    const status = all.find(({ name }) => name === container.name);
    if (status === undefined) unknown.push(container.name);
    else if (!status.ready) unready.push(container.name);
  }
  if (phase === 'Succeeded' && unknown.length === 0) return { status: 'False', reason: 'PodCompleted' };
  if (phase === 'Failed' && unknown.length === 0) return { status: 'False', reason: 'PodFailed' };
  if (unknown.length === 0 && unready.length === 0) return yes;
  return notYet('ContainersNotReady', unknown, unready, 'unready');
}

function readyVerdict(request: ConditionsRequest): Verdict {
  const containers = containersVerdict(request);
  if (containers.status !== 'True') return containers;
  const problems = (specOf(request.pod).readinessGates ?? []).flatMap(({ conditionType: type }) => {
    const condition = request.before.find((each) => each.type === type);
    if (condition === undefined) {
      return [`corresponding condition of pod readiness gate "${type}" does not exist.`];
    }
    if (condition.status === 'True') return [];
    return [`the status of pod readiness gate "${type}" is not "True", but ${condition.status}`];
  });
  if (problems.length === 0) return yes;
  return { status: 'False', reason: 'ReadinessGatesNotReady', message: problems.join(', ') };
}
