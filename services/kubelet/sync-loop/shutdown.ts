/**
 * Graceful shutdown of the node: pods end in groups by priority, each group within its time; new ones are
 * refused meanwhile (KEP-2000, KEP-2712).
 */
import type { Pod } from '#contracts/kubernetes/types.ts';
import { messageOf } from '#foundation/base/errors.ts';
import type { Logger } from '#foundation/base/log.ts';
import type { Clock } from '#foundation/base/time.ts';
import { gracePeriodOf, isCritical, specOf, title, uidOf } from '../pods/identity.ts';
import type { ActivePods, EventRecorder, PodControl, VolumeManager } from '../ports.ts';

/** Pods of at least this priority (and below the next group's) may take so long. */
export interface ShutdownGroup {
  priority: number;
  periodMs: number;
}

const criticalPriority = 2_000_000_000;
/** How often it is looked whether volumes are gone. */
const unmountLookMs = 100;
const message = 'Pod was terminated in response to imminent node shutdown.';

export interface ShutdownDeps {
  active: ActivePods;
  control: PodControl;
  clock: Clock;
  logger: Logger;
  events: Pick<EventRecorder, 'node'>;
  groups: readonly ShutdownGroup[];
  /** Tells which pods still have volumes. */
  held: VolumeManager['held'];
  /** Called when it begins and when it is called off: the node's status says so at once. */
  changed: () => void;
}

export interface NodeShutdown {
  /** Ends all pods, group after group; resolves when they are gone or their time is over. Once begun it goes on. */
  begin(): Promise<void>;
  /** The machine stays after all: pods are admitted again. Those that are being ended end all the same. */
  callOff(): void;
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
  const tell = (what: string) => {
    deps.events.node('Normal', 'NodeShutdown', `Shutdown manager detected shutdown ${what}`);
    deps.changed();
  };
  return {
    begin() {
      if (running !== undefined) return running;
      running = endGroups(deps);
      tell('event');
      return running;
    },
    callOff() {
      if (running === undefined) return;
      running = undefined;
      tell('cancellation');
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
  const gone = Promise.all(ends).then(() => unmounted(deps, pods, over.signal));
  const failed = (error: unknown) =>
    deps.logger.warn({ error: messageOf(error) }, 'Cannot tell whether the volumes of ended pods are gone');
  await Promise.race([gone.catch(failed), late]);
  over.abort();
}

/** Drivers of volumes are pods of a later group: they must not end before what they mounted is taken away. */
async function unmounted(deps: ShutdownDeps, pods: readonly Pod[], signal: AbortSignal): Promise<void> {
  while (!signal.aborted && (await deps.held(pods.map(uidOf))).size > 0)
    await deps.clock.sleep(unmountLookMs, signal).catch(() => {});
}
