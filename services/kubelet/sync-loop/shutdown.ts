/**
 * Graceful shutdown of the node: pods end in groups by priority, each group within its time; new ones are
 * refused meanwhile (KEP-2000, KEP-2712).
 */
import type { Pod } from '#contracts/kubernetes/types.ts';
import { messageOf } from '#foundation/base/errors.ts';
import type { Logger } from '#foundation/base/log.ts';
import type { Clock } from '#foundation/base/time.ts';
import { gracePeriodOf, isCritical, specOf, title } from '../pods/identity.ts';
import type { ActivePods, PodControl } from '../ports.ts';

/** Pods of at least this priority (and below the next group's) may take so long. */
export interface ShutdownGroup {
  priority: number;
  periodMs: number;
}

const criticalPriority = 2_000_000_000;
const message = 'Pod was terminated in response to imminent node shutdown.';

export interface ShutdownDeps {
  active: ActivePods;
  control: PodControl;
  clock: Clock;
  logger: Logger;
  groups: readonly ShutdownGroup[];
}

export interface NodeShutdown {
  /** Ends all pods, group after group; resolves when they are gone or their time is over. Once begun it goes on. */
  begin(): Promise<void>;
  /** Whether it has begun: then no pod is admitted any more. */
  begun(): boolean;
}

/**
 * The groups of `shutdownGracePeriod` and `shutdownGracePeriodCriticalPods` in milliseconds: the critical pods
 * have the last part of the whole.
 */
export function shutdownGroups(wholeMs: number, criticalMs: number): ShutdownGroup[] {
  return [
    { priority: 0, periodMs: Math.max(0, wholeMs - criticalMs) },
    { priority: criticalPriority, periodMs: criticalMs },
  ];
}

export function createShutdown(deps: ShutdownDeps): NodeShutdown {
  let running: Promise<void> | undefined;
  return {
    begin() {
      running ??= endGroups(deps);
      return running;
    },
    begun: () => running !== undefined,
  };
}

async function endGroups(deps: ShutdownDeps): Promise<void> {
  const groups = [...deps.groups].sort((a, b) => a.priority - b.priority);
  for (const [index, group] of groups.entries()) {
    const next = groups[index + 1]?.priority ?? Number.POSITIVE_INFINITY;
    // Whatever is below the first group ends with it.
    const from = index === 0 ? Number.NEGATIVE_INFINITY : group.priority;
    const pods = deps.active.activePods().filter((pod) => {
      const priority = priorityOf(pod);
      return priority >= from && priority < next;
    });
    await endGroup(deps, pods, group.periodMs);
  }
}

function priorityOf(pod: Pod): number {
  return isCritical(pod)
    ? Math.max(criticalPriority, specOf(pod).priority ?? 0)
    : (specOf(pod).priority ?? 0);
}

async function endGroup(deps: ShutdownDeps, pods: readonly Pod[], periodMs: number): Promise<void> {
  if (pods.length === 0) return;
  const over = new AbortController();
  const late = deps.clock.sleep(periodMs, over.signal).catch(() => {});
  const ends = pods.map(async (pod) => {
    const gracePeriodSeconds = Math.min(gracePeriodOf(pod), Math.floor(periodMs / 1000));
    const condition = { type: 'DisruptionTarget', status: 'True', reason: 'TerminationByKubelet', message };
    try {
      await deps.control.killPod(pod, { reason: 'Terminated', message, gracePeriodSeconds, condition });
    } catch (error) {
      deps.logger.warn({ pod: title(pod), error: messageOf(error) }, 'A pod did not end before the shutdown');
    }
  });
  await Promise.race([Promise.all(ends), late]);
  over.abort();
}
