/**
 * Desired against actual: what must be done for a pod. Pure, so that every rule of kubelet-facts 3 has its
 * line in a table test.
 */
import type { Pod } from '#contracts/kubernetes/types.ts';
import { allContainers, initContainers, sidecars } from '../pods/containers.ts';
import { isDeleted, specOf } from '../pods/identity.ts';
import type { AnyContainer } from '../ports.ts';
import { initActions } from './init-actions.ts';
import { type Kill, reasonToKill, type Signals, unknownKill } from './kills.ts';
import type { ContainerRecord, RuntimePodStatus } from './model.ts';
import { newestOf } from './model.ts';
import { resizeOf } from './resize-decision.ts';
import { isRestartable, mustStart, restartPolicyOf, restartsAfterKill, verdictOf } from './restart-policy.ts';
import { sandboxDecision } from './sandbox-decision.ts';

/** Everything to do for a pod, in the order of the fields. */
export interface PodActions {
  /** Ends all containers and the sandbox. */
  killPod: boolean;
  createSandbox: boolean;
  /** The sandbox to use, or to replace. */
  sandboxId: string | undefined;
  /** The attempt of a sandbox to create. */
  attempt: number;
  /** The container whose end asked to restart all: every container goes, sandbox and logs stay. */
  restartAll: AnyContainer | undefined;
  kill: Kill[];
  startEphemeral: AnyContainer[];
  startInit: AnyContainer[];
  start: AnyContainer[];
  /** Running containers that get other resources without a restart. */
  resize: Running[];
}

/** A container that runs. */
export interface Running {
  container: AnyContainer;
  record: ContainerRecord;
}

/** Computes what to do. Changes nothing. */
export function computeActions(pod: Pod, status: RuntimePodStatus, signals: Signals): PodActions {
  const sandbox = sandboxDecision(pod, status);
  const actions: PodActions = {
    killPod: sandbox.create,
    createSandbox: sandbox.create,
    sandboxId: sandbox.id,
    attempt: sandbox.attempt,
    restartAll: undefined,
    kill: [],
    startEphemeral: [],
    startInit: [],
    start: [],
    resize: [],
  };
  if (sandbox.create) return fromScratch(pod, status, actions);
  const restartAll = askingToRestartAll(pod, status);
  if (restartAll !== undefined) return { ...actions, restartAll };
  actions.startEphemeral = (specOf(pod).ephemeralContainers ?? []).filter((container) => {
    return newestOf(status, container.name) === undefined;
  });
  const init = initActions(pod, status, signals);
  actions.kill.push(...init.kill);
  actions.startInit = init.start;
  actions.killPod = init.killPod;
  if (init.killPod) actions.startEphemeral = [];
  if (init.killPod || !init.done) return actions;
  return regularActions(pod, status, signals, { ...actions, resize: inPlaceResizes(pod, status, signals) });
}

function inPlaceResizes(pod: Pod, status: RuntimePodStatus, signals: Signals): Running[] {
  return [...sidecars(pod), ...specOf(pod).containers].flatMap((container) => {
    const record = newestOf(status, container.name);
    if (record?.state !== 'running' || resizeOf(pod, container, signals) !== 'in-place') return [];
    return [{ container, record }];
  });
}

/** A new sandbox: what runs in the old one ends, and the pod begins with its first init container. */
function fromScratch(pod: Pod, status: RuntimePodStatus, actions: PodActions): PodActions {
  if (!anyRestarts(pod) && actions.attempt !== 0 && status.containers.length > 0) {
    return { ...actions, createSandbox: false };
  }
  const start = specOf(pod).containers.filter((container) => {
    const record = newestOf(status, container.name);
    return record?.state !== 'exited' || verdictOf(pod, container, record) !== 'stay';
  });
  const created = specOf(pod).containers.some((each) => newestOf(status, each.name) !== undefined);
  if (start.length === 0 && created) return { ...actions, createSandbox: false };
  const first = initContainers(pod)[0];
  if (first !== undefined) return { ...actions, startInit: [first] };
  return { ...actions, start };
}

function anyRestarts(pod: Pod): boolean {
  return isRestartable(pod) || specOf(pod).containers.some((each) => restartPolicyOf(pod, each) !== 'Never');
}

/** The container whose newest exit matched a rule that restarts the whole pod. */
function askingToRestartAll(pod: Pod, status: RuntimePodStatus): AnyContainer | undefined {
  if (isDeleted(pod)) return undefined;
  return allContainers(pod).find((container) => {
    const record = newestOf(status, container.name);
    return record?.state === 'exited' && verdictOf(pod, container, record) === 'restart-all';
  });
}

function regularActions(
  pod: Pod,
  status: RuntimePodStatus,
  signals: Signals,
  actions: PodActions,
): PodActions {
  let kept = 0;
  for (const container of specOf(pod).containers) {
    const record = newestOf(status, container.name);
    if (record?.state !== 'running') {
      if (!mustStart(pod, container, record)) continue;
      actions.start.push(container);
      if (record?.state === 'unknown') actions.kill.push(unknownKill(container, record));
      continue;
    }
    const kill = reasonToKill(pod, container, record, signals);
    if (kill === undefined) {
      kept += 1;
      continue;
    }
    const again = kill.reason === 'changed' || kill.reason === 'resize' || restartsAfterKill(pod, container);
    if (again) actions.start.push(container);
    actions.kill.push({ ...kill, message: again ? `${kill.message}, will be restarted` : kill.message });
  }
  if (kept > 0 || actions.start.length > 0) return actions;
  // Nothing is left to do: sidecars must not keep the pod alive.
  return { ...actions, killPod: true, startInit: [] };
}
