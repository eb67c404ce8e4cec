/**
 * Evicts pods when the node runs short. Every ten seconds: read the figures, find the thresholds they meet, keep the
 * node's pressure conditions, free what costs nobody anything, and, if that is not enough, end one pod and wait for
 * its resources to come back.
 */
import type { Pod } from '#contracts/kubernetes/types.ts';
import type { Logger } from '#foundation/base/log.ts';
import { type Repeating, repeat } from '#foundation/base/repeat.ts';
import type { Clock } from '#foundation/base/time.ts';
import type {
  ActivePods,
  EventRecorder,
  EvictionManager,
  PodControl,
  PodResources,
  Pressure,
} from '../ports.ts';
import { isCritical } from '../resources/qos.ts';
import type { PodUsage } from '../stats/pod-usage.ts';
import { exceededLimit } from './local-storage.ts';
import { evictionMessage } from './message.ts';
import { type Ranked, rankPods } from './rank.ts';
import { conditionOf, metThresholds, type Observations, resourceOf, type Threshold } from './thresholds.ts';

/** Milliseconds between looks, and how long to wait for an evicted pod's resources. */
const intervalMs = 10_000;
const cleanupMs = 30_000;

/** What eviction needs. */
export interface EvictionDeps {
  thresholds: readonly Threshold[];
  /** `evictionPressureTransitionPeriod` in milliseconds: how long a condition outlasts its cause. */
  transitionMs: number;
  /** `evictionMaxPodGracePeriod`: seconds, for soft thresholds. */
  maxGraceSeconds: number;
  /** `localStorageCapacityIsolation`: whether limits of local storage are enforced. */
  localStorage: boolean;
  observe: () => Promise<Observations>;
  /** Whether images and writable layers have a disk of their own. */
  splitDisks: () => Promise<boolean>;
  usage: (pods: readonly Pod[]) => Promise<PodUsage[]>;
  /** Frees disk without ending pods: dead containers, unused images. */
  reclaimDisk: (signal: AbortSignal) => Promise<void>;
  resources: Pick<PodResources, 'podCgroupExists'>;
  clock: Clock;
  events: Pick<EventRecorder, 'pod' | 'node'>;
  log: Logger;
  count: (signal: string) => void;
}

interface State {
  /** Thresholds met at the last look, with when each was first met. */
  since: Map<Threshold, number>;
  /** When each condition's cause was last seen. */
  lastSeen: Map<keyof Pressure, number>;
}

/** Makes the manager. */
export function createEvictionManager(
  deps: EvictionDeps,
): EvictionManager & { round(pods: ActivePods, control: PodControl, signal: AbortSignal): Promise<void> } {
  const state: State = { since: new Map(), lastSeen: new Map() };
  let running: Repeating | undefined;
  const round = (pods: ActivePods, control: PodControl, signal: AbortSignal) =>
    look(deps, state, pods, control, signal);
  return {
    round,
    start(pods, control) {
      running = repeat({
        clock: deps.clock,
        pauseMs: () => intervalMs,
        round: (signal) => round(pods, control, signal),
        onError: (error) => deps.log.warn({ err: error }, 'cannot look after the resources of the node'),
      });
    },
    stop: async () => running?.stop(),
    pressure() {
      const now = deps.clock.monotonic();
      const holds = (condition: keyof Pressure) => {
        const seen = state.lastSeen.get(condition);
        return seen !== undefined && now - seen < deps.transitionMs;
      };
      return { memory: holds('memory'), disk: holds('disk'), pid: holds('pid') };
    },
  };
}

async function look(
  deps: EvictionDeps,
  state: State,
  pods: ActivePods,
  control: PodControl,
  signal: AbortSignal,
): Promise<void> {
  const observations = await deps.observe();
  const due = dueThresholds(deps, state, observations);
  const active = pods.activePods();
  if (deps.localStorage && (await evictForLimits(deps, active, control))) return;
  const [threshold] = due.sort((a, b) => orderOf(a) - orderOf(b));
  if (threshold === undefined) return;
  deps.events.node(
    'Warning',
    'EvictionThresholdMet',
    `Attempting to reclaim ${resourceOf(threshold.signal)}`,
  );
  const disk = conditionOf(threshold.signal) === 'disk';
  const split = disk && (await deps.splitDisks());
  // Images on another disk do not help this one.
  if (disk && !(split && threshold.signal.startsWith('nodefs'))) {
    await deps.reclaimDisk(signal);
    const after = await deps.observe();
    if (metThresholds([threshold], after, true).length === 0) return;
  }
  const ranked = rankPods(await deps.usage(active), threshold.signal, split);
  for (const candidate of ranked)
    if (await evict(deps, candidate, threshold, observations, control, signal)) return;
  deps.log.warn({ signal: threshold.signal }, 'the node runs short, and no pod may be evicted');
}

/** The thresholds whose grace is over; keeps when each was first met, and the conditions' times. */
function dueThresholds(deps: EvictionDeps, state: State, observations: Observations): Threshold[] {
  const now = deps.clock.monotonic();
  const met = new Set(metThresholds(deps.thresholds, observations, false));
  // What was met stays met until its minimum reclaim is there too.
  for (const threshold of metThresholds([...state.since.keys()], observations, true)) met.add(threshold);
  for (const threshold of state.since.keys()) if (!met.has(threshold)) state.since.delete(threshold);
  for (const threshold of met) {
    if (!state.since.has(threshold)) state.since.set(threshold, now);
    state.lastSeen.set(conditionOf(threshold.signal), now);
  }
  return [...met].filter((threshold) => now - (state.since.get(threshold) ?? now) >= threshold.graceMs);
}

/** Memory first: it kills; processes and disks after it. */
function orderOf({ signal }: Threshold): number {
  return { memory: 0, disk: 1, pid: 2 }[conditionOf(signal)];
}

async function evictForLimits(
  deps: EvictionDeps,
  active: readonly Pod[],
  control: PodControl,
): Promise<boolean> {
  const limited = active.filter((pod) => hasStorageLimits(pod) && !isCritical(pod));
  if (limited.length === 0) return false;
  let evicted = false;
  for (const usage of await deps.usage(limited)) {
    const message = exceededLimit(usage);
    if (message === undefined) continue;
    deps.count('ephemeralpodfs.limit');
    deps.events.pod(usage.pod, 'Warning', 'Evicted', message);
    await control.killPod(usage.pod, { reason: 'Evicted', message, gracePeriodSeconds: 1, evicted: true });
    evicted = true;
  }
  return evicted;
}

function hasStorageLimits(pod: Pod): boolean {
  const sized = (pod.spec.volumes ?? []).some(({ emptyDir }) => emptyDir?.sizeLimit !== undefined);
  const limited = [pod.spec, ...pod.spec.containers, ...(pod.spec.initContainers ?? [])];
  return sized || limited.some(({ resources }) => resources?.limits?.['ephemeral-storage'] !== undefined);
}

/** @returns whether the pod was ended; critical ones are not. */
async function evict(
  deps: EvictionDeps,
  candidate: Ranked,
  threshold: Threshold,
  observations: Observations,
  control: PodControl,
  signal: AbortSignal,
): Promise<boolean> {
  const { pod } = candidate.usage;
  if (isCritical(pod)) return false;
  const message = evictionMessage(candidate, threshold, observations.get(threshold.signal));
  const spec = pod.spec.terminationGracePeriodSeconds ?? 30;
  const gracePeriodSeconds = threshold.hard ? 1 : Math.min(spec, deps.maxGraceSeconds);
  deps.count(threshold.signal);
  deps.events.pod(pod, 'Warning', 'Evicted', message);
  deps.log.warn({ pod: pod.metadata.name, signal: threshold.signal }, 'evicting a pod');
  await control.killPod(pod, {
    reason: 'Evicted',
    message,
    gracePeriodSeconds,
    condition: { type: 'DisruptionTarget', status: 'True', reason: 'TerminationByKubelet', message },
    evicted: true,
  });
  for (let waited = 0; waited < cleanupMs && deps.resources.podCgroupExists(pod); waited += 1000)
    await deps.clock.sleep(1000, signal);
  return true;
}
