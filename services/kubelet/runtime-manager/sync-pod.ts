/**
 * Brings a pod's containers to what its spec asks for: computes the actions, then does them in the original's
 * order. What goes wrong with one container is reported for it and does not stop the others, except where a
 * later one depends on it.
 */
import type { Pod } from '#contracts/kubernetes/types.ts';
import { messageOf, SkiffError, wrapError } from '#foundation/base/errors.ts';
import { podLevel } from '../pods/allocation.ts';
import { type ContainerKind, isSidecar } from '../pods/containers.ts';
import { specOf, title, uidOf } from '../pods/identity.ts';
import type { AnyContainer, Mounts } from '../ports.ts';
import { computeActions, type PodActions } from './actions.ts';
import { heedRestartBackoff } from './crash-loop.ts';
import type { RuntimeManagerDeps } from './deps.ts';
import { pullImageVolumes } from './image-volumes.ts';
import { killContainer } from './kill-container.ts';
import { killPod } from './kill-pod.ts';
import type { RuntimePodStatus, SandboxRecord } from './model.ts';
import { pruneInit, purgeInit, removeAll } from './prune.ts';
import { applyResizes } from './resize.ts';
import { isPodResized } from './resize-decision.ts';
import { createSandbox, sandboxInUse } from './sandbox.ts';
import type { SandboxInUse } from './sandbox-in-use.ts';
import { startContainer } from './start-container.ts';
import { StartError } from './start-error.ts';

/** What to bring about. */
export interface SyncRequest {
  pod: Pod;
  status: RuntimePodStatus;
  mounts: Mounts;
  signal: AbortSignal;
  /** Called once a new sandbox is ready, before its containers start. */
  onSandboxReady?: (sandbox: SandboxRecord) => void;
}

/** What came of it. */
export interface SyncOutcome {
  /** Containers that could not be started, and why. */
  failures: Map<string, StartError>;
  /** Containers that were started. */
  started: string[];
  /** Failures that are no container's: sandbox, kills. */
  errors: unknown[];
  /** Whether anything was done, so that the runtime should be asked again at once. */
  changed: boolean;
  /** Whether containers got other resources, or should have. */
  resized: boolean;
}

/** One sync under way. */
interface Sync extends SyncRequest {
  deps: RuntimeManagerDeps;
  outcome: SyncOutcome;
}

/** Never throws: everything that failed is in the outcome. */
export async function syncPod(deps: RuntimeManagerDeps, request: SyncRequest): Promise<SyncOutcome> {
  const outcome: SyncOutcome = {
    failures: new Map(),
    started: [],
    errors: [],
    changed: false,
    resized: false,
  };
  const sync: Sync = { ...request, deps, outcome };
  try {
    await carryOut(
      sync,
      computeActions(request.pod, request.status, {
        result: deps.probes.result,
        actuated: deps.actuated.actuated,
      }),
    );
  } catch (error) {
    outcome.errors.push(error);
  }
  return outcome;
}

async function carryOut(sync: Sync, actions: PodActions): Promise<void> {
  const { deps, pod, status, signal } = sync;
  if (actions.restartAll !== undefined) {
    await restartAll(sync, actions.restartAll);
    return;
  }
  if (actions.killPod) {
    await endPod(sync, actions);
    if (!actions.createSandbox) return;
  } else {
    await killUnwanted(sync, actions);
  }
  if (actions.createSandbox) await purgeInit(deps, pod, status);
  else await pruneInit(deps, status, actions.startInit);
  await resize(sync, actions);
  const work = actions.startEphemeral.length + actions.startInit.length + actions.start.length;
  if (!actions.createSandbox && work === 0) return;
  const sandbox = await sandboxFor(sync, actions);
  const imageVolumes = await pullImageVolumes(deps, pod, sandbox, signal);
  const startOne = (kind: ContainerKind, container: AnyContainer) =>
    tryStart(sync, kind, container, () => {
      const { mounts } = sync;
      return startContainer(deps, { pod, container, kind, status, sandbox, mounts, imageVolumes, signal });
    });
  for (const container of actions.startEphemeral) await startOne('ephemeral', container);
  for (const container of actions.startInit) {
    // Later ones depend on an ordinary init container, not on a sidecar's start.
    if (!(await startOne('init', container)) && !isSidecar(container)) return;
  }
  for (const container of actions.start) await startOne('regular', container);
}

/** Removes all containers, so that the next sync begins with the first; the one that asked for it backs off. */
async function restartAll({ deps, pod, status, signal, outcome }: Sync, asking: AnyContainer): Promise<void> {
  try {
    heedRestartBackoff(deps, pod, asking, status);
  } catch (error) {
    if (!(error instanceof StartError)) throw error;
    outcome.failures.set(asking.name, error);
    return;
  }
  outcome.changed = true;
  await removeAll(deps, pod, status, signal);
}

async function resize({ deps, pod, outcome }: Sync, { resize: resizes, kill }: PodActions): Promise<void> {
  const restarts = kill.some(({ reason }) => reason === 'resize');
  const whole = isPodResized(pod, deps.actuated);
  const failure = await applyResizes(deps, pod, resizes, restarts);
  deps.onResized(pod, failure);
  if (resizes.length > 0) outcome.changed = true;
  outcome.resized = whole || resizes.length > 0 || restarts;
  if (failure !== undefined) outcome.errors.push(new Error(`Cannot resize: ${failure}`));
}

async function endPod({ deps, pod, status, signal, outcome }: Sync, actions: PodActions): Promise<void> {
  const alive =
    status.sandboxes.some((each) => each.ready) || status.containers.some((c) => c.state !== 'exited');
  if (actions.createSandbox && actions.sandboxId !== undefined) {
    const message = 'Pod sandbox changed, it will be killed and re-created.';
    deps.events.pod(pod, 'Normal', 'SandboxChanged', message);
  }
  if (!alive) return;
  outcome.changed = true;
  await killPod(deps, { pod, status, signal });
}

async function killUnwanted(sync: Sync, actions: PodActions): Promise<void> {
  const { deps, pod, status, signal, outcome } = sync;
  if (actions.kill.length === 0) return;
  outcome.changed = true;
  const kills = actions.kill.map((kill) => killContainer(deps, { ...kill, pod, podIps: status.ips, signal }));
  const failed = (await Promise.allSettled(kills)).filter((each) => each.status === 'rejected');
  for (const { reason } of failed) outcome.errors.push(reason);
  if (failed.length > 0)
    throw new SkiffError(
      'INTERNAL',
      `Cannot stop containers: ${failed.map((f) => messageOf(f.reason)).join('; ')}`,
    );
}

async function sandboxFor(sync: Sync, actions: PodActions): Promise<SandboxInUse> {
  const { deps, pod, status, signal, outcome } = sync;
  if (!actions.createSandbox) return sandboxInUse(deps, pod, status);
  outcome.changed = true;
  await prepareResources(deps, pod, signal);
  const started = deps.clock.monotonic();
  const sandbox = await createSandbox(deps, pod, actions.attempt, signal);
  const { resources } = specOf(pod);
  if (resources !== undefined) deps.actuated.setActuated(uidOf(pod), podLevel, resources);
  deps.counters.sandboxSeconds(sandbox.runtimeHandler, (deps.clock.monotonic() - started) / 1000);
  sync.onSandboxReady?.(recordOf(sandbox, actions.attempt, deps.clock.now()));
  return specOf(pod).hostNetwork === true ? { ...sandbox, ips: status.ips } : sandbox;
}

/** Has the devices of the pod's claims made ready. @throws what their drivers say; the event is recorded. */
async function prepareResources(deps: RuntimeManagerDeps, pod: Pod, signal: AbortSignal): Promise<void> {
  try {
    await deps.dynamicResources.prepare(pod, signal);
  } catch (error) {
    const message = `Failed to prepare dynamic resources: ${messageOf(error)}`;
    if (!signal.aborted) deps.events.pod(pod, 'Warning', 'FailedPrepareDynamicResources', message);
    throw wrapError(error, `Cannot prepare the devices of pod ${title(pod)}`);
  }
}

/** A sandbox that was just made, as the runtime would describe it. */
function recordOf(
  { id, ips, config, runtimeHandler }: SandboxInUse,
  attempt: number,
  now: number,
): SandboxRecord {
  const network = config.linux?.securityContext?.namespaceOptions?.network;
  return { id, attempt, ready: true, createdAt: now, ips, network, runtimeHandler };
}

async function tryStart(
  { deps, pod, status, outcome, signal }: Sync,
  kind: ContainerKind,
  container: AnyContainer,
  start: () => Promise<string>,
): Promise<boolean> {
  try {
    signal.throwIfAborted();
    if (kind !== 'ephemeral') heedRestartBackoff(deps, pod, container, status);
    await start();
    outcome.started.push(container.name);
    outcome.changed = true;
    return true;
  } catch (error) {
    if (signal.aborted) throw error;
    const failure =
      error instanceof StartError
        ? error
        : new StartError('RunContainerError', messageOf(error), { cause: error });
    outcome.failures.set(container.name, failure);
    // A container that was created and not started, or killed by its hook, changed the runtime.
    outcome.changed ||= ['RunContainerError', 'PostStartHookError'].includes(failure.reason);
    return false;
  }
}
