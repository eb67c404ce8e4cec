/** Ends a pod: all its containers at once (sidecars in their order), then its sandboxes. */
import type { Pod } from '#contracts/kubernetes/types.ts';
import { isSkiffError } from '#foundation/base/errors.ts';
import { findContainer } from '../pods/containers.ts';
import type { RuntimeManagerDeps } from './deps.ts';
import { killContainer } from './kill-container.ts';
import type { RuntimePodStatus } from './model.ts';
import { mayRun } from './model.ts';
import { createStopTurns } from './stop-turns.ts';

/** How to end it. */
export interface KillPodRequest {
  pod: Pod;
  status: RuntimePodStatus;
  /** Seconds that replace the spec's. */
  graceOverride?: number;
  signal: AbortSignal;
}

/**
 * Stops what may run; nothing is removed, that is the collector's work.
 *
 * @throws AggregateError when something could not be stopped; the rest was stopped all the same.
 */
export async function killPod(deps: RuntimeManagerDeps, request: KillPodRequest): Promise<void> {
  const { pod, status, graceOverride, signal } = request;
  const running = status.containers.filter((record) => mayRun(record.state));
  const turns = createStopTurns(
    pod,
    running.map((record) => record.name),
  );
  const outcomes = await Promise.allSettled(
    running.map((record) => {
      const container = findContainer(pod, record.name)?.container;
      const message = `Stopping container ${record.name}`;
      const common = { pod, record, container, podIps: status.ips, message, turns, signal };
      return killContainer(deps, { ...common, reason: 'other', graceOverride });
    }),
  );
  throwFailures(outcomes, `Cannot stop the containers of pod ${status.namespace}/${status.name}`);
  const stops = status.sandboxes.map((sandbox) => stopSandbox(deps, sandbox.id, signal));
  throwFailures(
    await Promise.allSettled(stops),
    `Cannot stop the sandbox of pod ${status.namespace}/${status.name}`,
  );
}

async function stopSandbox(deps: RuntimeManagerDeps, id: string, signal: AbortSignal): Promise<void> {
  try {
    await deps.runtime.stopPodSandbox({ podSandboxId: id }, { signal });
  } catch (error) {
    if (!isSkiffError(error, 'NOT_FOUND')) throw error;
  }
}

function throwFailures(outcomes: PromiseSettledResult<void>[], what: string): void {
  const errors = outcomes.flatMap((outcome) => (outcome.status === 'rejected' ? [outcome.reason] : []));
  if (errors.length > 0) throw new AggregateError(errors, `${what}: ${errors.map(String).join('; ')}`);
}
