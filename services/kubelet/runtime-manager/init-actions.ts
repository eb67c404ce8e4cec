/**
 * Init containers and sidecars: which is next, which must be restarted, whether the pod is past them.
 *
 * They are looked at from the last to the first, because the records of older ones may be collected already:
 * the newest one with a record says that all before it were completed (or, for sidecars, started).
 */
import type { Container, Pod } from '#contracts/kubernetes/types.ts';
import { initContainers, isSidecar } from '../pods/containers.ts';
import { isDeleted, specOf } from '../pods/identity.ts';
import type { AnyContainer } from '../ports.ts';
import { type Kill, reasonToKill, type Signals, unknownKill } from './kills.ts';
import type { ContainerRecord, RuntimePodStatus } from './model.ts';
import { newestOf } from './model.ts';
import { failed, verdictOf } from './restart-policy.ts';

export interface InitActions {
  /** Regular containers may be started. */
  done: boolean;
  /** An init container failed for good. */
  killPod: boolean;
  /** In the order of the spec. */
  start: AnyContainer[];
  kill: Kill[];
}

/** What one container's record means. */
type Step =
  | { kind: 'wait' }
  | { kind: 'passed'; kill?: Kill; restart?: boolean }
  | { kind: 'start'; kill?: Kill }
  | { kind: 'failed' };

/** Computes the init containers' part of a pod's actions. */
export function initActions(pod: Pod, status: RuntimePodStatus, signals: Signals): InitActions {
  const containers = initContainers(pod);
  const actions: InitActions = { done: containers.length === 0, killPod: false, start: [], kill: [] };
  if (containers.length === 0) return actions;
  const regularRan = specOf(pod).containers.some((container) => {
    const state = newestOf(status, container.name)?.state;
    return state === 'created' || state === 'running';
  });
  actions.done = regularRan;
  let behind = regularRan;
  for (let index = containers.length - 1; index >= 0; index -= 1) {
    const container = containers[index];
    if (container === undefined) continue;
    const record = newestOf(status, container.name);
    if (behind) {
      if (isSidecar(container)) keepSidecar(pod, container, record, signals, actions);
      continue;
    }
    if (record === undefined) continue;
    behind = true;
    if (!frontier(pod, containers, index, stepOf(pod, container, record, signals), actions)) return actions;
  }
  const first = containers[0];
  if (!behind && first !== undefined && !isDeleted(pod)) actions.start.push(first);
  actions.start.reverse();
  return actions;
}

/** The newest init container that has a record. @returns false when the pod has failed. */
function frontier(
  pod: Pod,
  containers: Container[],
  index: number,
  step: Step,
  actions: InitActions,
): boolean {
  const container = containers[index];
  const next = containers[index + 1];
  if (step.kind === 'failed') {
    actions.killPod = true;
    actions.start = [];
    actions.kill = [];
    return false;
  }
  if (step.kind === 'wait' || isDeleted(pod)) return true;
  if (step.kill !== undefined) actions.kill.push(step.kill);
  if (step.kind === 'passed') {
    if (next === undefined) actions.done = true;
    else actions.start.push(next);
  }
  if ((step.kind === 'start' || step.restart === true) && container !== undefined)
    actions.start.push(container);
  return true;
}

/** A sidecar the pod has passed already: it must be running. */
function keepSidecar(
  pod: Pod,
  container: Container,
  record: ContainerRecord | undefined,
  signals: Signals,
  actions: InitActions,
): void {
  if (isDeleted(pod)) return;
  if (record === undefined) {
    actions.start.push(container);
    return;
  }
  const step = sidecarStep(pod, container, record, signals);
  if (step.kind !== 'passed' && step.kind !== 'start') return;
  if (step.kill !== undefined) actions.kill.push(step.kill);
  if (step.kind === 'start' || step.restart === true) actions.start.push(container);
}

function stepOf(pod: Pod, container: Container, record: ContainerRecord, signals: Signals): Step {
  if (isSidecar(container)) return sidecarStep(pod, container, record, signals);
  if (record.state === 'running') return { kind: 'wait' };
  if (record.state === 'created') return { kind: 'start' };
  if (record.state === 'unknown') return { kind: 'start', kill: unknownKill(container, record) };
  if (!failed(record)) return { kind: 'passed' };
  // A pod that restarts always restarts its init containers on failure; rules may say more.
  return verdictOf(pod, container, record) === 'stay' ? { kind: 'failed' } : { kind: 'start' };
}

/** A sidecar lets the next one start when it runs and its startup probe has passed. */
function sidecarStep(pod: Pod, container: Container, record: ContainerRecord, signals: Signals): Step {
  if (record.state === 'unknown') return { kind: 'start', kill: unknownKill(container, record) };
  if (record.state !== 'running') return { kind: 'start' };
  const kill = reasonToKill(pod, container, record, signals);
  if (kill !== undefined) {
    const restarted = { ...kill, message: `${kill.message}, will be restarted` };
    return kill.reason === 'startup-probe'
      ? { kind: 'start', kill: restarted }
      : { kind: 'passed', kill: restarted, restart: true };
  }
  if (container.startupProbe && signals.result('startup', record.id) !== 'success') return { kind: 'wait' };
  return { kind: 'passed' };
}
