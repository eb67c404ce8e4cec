/** Ends one container: its grace period, its preStop hook, its turn, then StopContainer. */
import type { Pod } from '#contracts/kubernetes/types.ts';
import { messageOf } from '#foundation/base/errors.ts';
import { longestTimerMs } from '#foundation/base/time.ts';
import { gracePeriodOf } from '../pods/identity.ts';
import type { AnyContainer } from '../ports.ts';
import type { RuntimeManagerDeps } from './deps.ts';
import type { KillReason } from './kills.ts';
import type { ContainerRecord } from './model.ts';
import type { StopTurns } from './stop-turns.ts';

/** Seconds every container gets, whatever was asked: time to see the signal (kubelet-facts 3). */
const minimumGraceSeconds = 2;

/** What to end, and how. */
export interface KillRequest {
  pod: Pod;
  record: ContainerRecord;
  /** Undefined for containers the spec does not have. */
  container: AnyContainer | undefined;
  podIps: string[];
  message: string;
  reason: KillReason;
  /** Seconds that replace the pod's and the probe's. */
  graceOverride?: number;
  /** The order among the pod's containers, when all of them end. */
  turns?: StopTurns;
  signal: AbortSignal;
}

/**
 * @throws SkiffError as the runtime answered. A failing hook does not keep the container alive.
 */
export async function killContainer(deps: RuntimeManagerDeps, request: KillRequest): Promise<void> {
  const { record, turns } = request;
  try {
    await kill(deps, request);
  } finally {
    turns?.ended(record.name);
  }
}

async function kill(deps: RuntimeManagerDeps, request: KillRequest): Promise<void> {
  const { pod, record, container, signal } = request;
  const grace = graceSeconds(request);
  deps.events.pod(pod, 'Normal', 'Killing', request.message, { container: record.name });
  const deadline = deps.clock.monotonic() + grace * 1000;
  if (grace > 0 && record.state === 'running' && container?.lifecycle?.preStop) {
    await preStop(deps, request, container, grace * 1000);
  }
  const left = () => Math.max(0, deadline - deps.clock.monotonic());
  if (request.turns !== undefined) await request.turns.wait(record.name, left(), signal);
  const timeout = Math.max(minimumGraceSeconds, Math.ceil(left() / 1000));
  await deps.runtime.stopContainer(
    { containerId: record.id, timeout: BigInt(timeout) },
    { signal, timeoutMs: timeout * 1000 + deps.requestTimeoutMs },
  );
}

/** Seconds; negative overrides count as none left. */
export function graceSeconds({
  pod,
  container,
  reason,
  graceOverride,
}: Pick<KillRequest, 'pod' | 'container' | 'reason' | 'graceOverride'>): number {
  if (graceOverride !== undefined) return graceOverride;
  const deletion = pod.metadata?.deletionGracePeriodSeconds;
  if (deletion !== undefined && deletion !== null) return deletion;
  const probe =
    reason === 'startup-probe'
      ? container?.startupProbe
      : reason === 'liveness-probe' && container?.livenessProbe;
  const own = probe ? probe.terminationGracePeriodSeconds : undefined;
  return own ?? gracePeriodOf(pod);
}

async function preStop(
  deps: RuntimeManagerDeps,
  { pod, record, podIps, signal }: KillRequest,
  container: AnyContainer,
  graceMs: number,
): Promise<void> {
  const limit = AbortSignal.any([signal, AbortSignal.timeout(Math.min(graceMs, longestTimerMs))]);
  try {
    await deps.hooks.preStop({ pod, container, containerId: record.id, podIps }, limit);
  } catch (error) {
    const message = limit.aborted ? `PreStopHook did not end within ${graceMs / 1000}s` : messageOf(error);
    deps.events.pod(pod, 'Warning', 'FailedPreStopHook', message, { container: record.name });
  }
}
