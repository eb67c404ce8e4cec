/**
 * Graceful node shutdown: the machine's shutdown is delayed until pods have ended, the less important ones first, each
 * group of priorities within a time of its own. The node is not ready meanwhile and takes no pods.
 */
import type { Pod } from '#contracts/kubernetes/types.ts';
import type { Logger } from '#foundation/base/log.ts';
import { withDeadline } from '#foundation/base/time.ts';
import type { KubeletConfiguration } from '../configuration/defaults.ts';
import { durationMs } from '../configuration/duration.ts';
import type { ActivePods, PodControl } from '../ports.ts';
import { criticalPriority } from '../resources/qos.ts';

/** Pods of one range of priorities, and how long they have. */
export interface ShutdownGroup {
  /** The least priority of the group. */
  priority: number;
  seconds: number;
}

/** Delays the machine's shutdown and tells of it; `inhibitShutdown` of the foundation does. */
export type ShutdownSource = (
  onShutdown: (starting: boolean) => void,
) => Promise<{ release(): void; close(): void }>;

/** What the manager needs. */
export interface ShutdownDeps {
  groups: readonly ShutdownGroup[];
  source: ShutdownSource;
  pods: ActivePods;
  control: PodControl;
  log: Logger;
}

/** The manager. */
export interface ShutdownManager {
  /** Begins to delay shutdowns; a machine that cannot is served without. */
  start(): Promise<void>;
  stop(): Promise<void>;
  /** Why the node takes no pods; undefined while it does. */
  shuttingDown(): string | undefined;
}

/** The groups of a configuration, the least important first; empty if shutdown is not to be graceful. */
export function shutdownGroups(configuration: KubeletConfiguration): ShutdownGroup[] {
  const { shutdownGracePeriod, shutdownGracePeriodCriticalPods, shutdownGracePeriodByPodPriority } =
    configuration;
  const listed = shutdownGracePeriodByPodPriority.map(({ priority, shutdownGracePeriodSeconds }) => ({
    priority,
    seconds: shutdownGracePeriodSeconds,
  }));
  if (listed.length > 0) return listed.sort((a, b) => a.priority - b.priority);
  const all = durationMs(shutdownGracePeriod) / 1000;
  const critical = durationMs(shutdownGracePeriodCriticalPods) / 1000;
  if (all === 0) return [];
  return [
    { priority: 0, seconds: all - critical },
    { priority: criticalPriority, seconds: critical },
  ];
}

/** Makes the manager. */
export function createShutdownManager(deps: ShutdownDeps): ShutdownManager {
  let inhibitor: Awaited<ReturnType<ShutdownSource>> | undefined;
  let starting = false;
  let ending: Promise<void> = Promise.resolve();
  const onShutdown = (goesDown: boolean) => {
    if (starting === goesDown) return;
    starting = goesDown;
    // A shutdown that was called off leaves a node that takes pods again.
    if (goesDown) ending = endPods(deps).finally(() => inhibitor?.release());
  };
  return {
    async start() {
      if (deps.groups.length === 0) return;
      try {
        inhibitor = await deps.source(onShutdown);
      } catch (error) {
        deps.log.warn({ err: error }, 'pods will not be ended gracefully when this machine shuts down');
      }
    },
    async stop() {
      if (starting) await ending;
      inhibitor?.close();
    },
    shuttingDown: () => (starting ? 'node is shutting down' : undefined),
  };
}

async function endPods({ groups, pods, control, log }: ShutdownDeps): Promise<void> {
  log.info('the machine shuts down: ending pods');
  for (const [group, members] of grouped(groups, pods.activePods())) {
    if (members.length === 0) continue;
    const ended = Promise.all(members.map((pod) => endPod(control, pod, group.seconds, log)));
    // The next group must not lose its time to one that hangs.
    await withDeadline('ending a group of pods', (group.seconds + 1) * 1000, () => ended).catch(
      (error: unknown) => log.warn({ err: error, priority: group.priority }, 'some pods did not end in time'),
    );
  }
}

/** Each pod in the highest group that its priority reaches; those below all, in the lowest. Exported for the tests. */
export function grouped(groups: readonly ShutdownGroup[], pods: readonly Pod[]): [ShutdownGroup, Pod[]][] {
  const members = groups.map((group): [ShutdownGroup, Pod[]] => [group, []]);
  for (const pod of pods) {
    const index = Math.max(
      0,
      groups.findLastIndex(({ priority }) => (pod.spec.priority ?? 0) >= priority),
    );
    members[index]?.[1].push(pod);
  }
  return members;
}

async function endPod(control: PodControl, pod: Pod, seconds: number, log: Logger): Promise<void> {
  const message = 'Pod was terminated in response to imminent node shutdown.';
  const gracePeriodSeconds = Math.min(seconds, pod.spec.terminationGracePeriodSeconds ?? 30);
  try {
    await control.killPod(pod, {
      reason: 'Terminated',
      message,
      gracePeriodSeconds,
      condition: { type: 'DisruptionTarget', status: 'True', reason: 'TerminationByKubelet', message },
    });
  } catch (error) {
    log.warn({ pod: pod.metadata.name, err: error }, 'a pod did not end before the shutdown');
  }
}
