/** Eviction thresholds: what was configured, and which of them the node's figures meet. */
import type { KubeletConfiguration } from '../configuration/defaults.ts';
import { durationMs } from '../configuration/duration.ts';
import { thresholdOf } from '../node/capacity.ts';

/** What is watched. */
export type Signal =
  | 'memory.available'
  | 'allocatableMemory.available'
  | 'nodefs.available'
  | 'nodefs.inodesFree'
  | 'imagefs.available'
  | 'imagefs.inodesFree'
  | 'containerfs.available'
  | 'containerfs.inodesFree'
  | 'pid.available';

/** A limit below which the node acts. */
export interface Threshold {
  signal: Signal;
  /** As configured: `100Mi` or `10%`. */
  value: string;
  /** Milliseconds it must hold before pods go; 0 for a hard one. */
  graceMs: number;
  hard: boolean;
  /** As configured; what must be free beyond the threshold before it counts as resolved. */
  minReclaim: string | undefined;
}

/** A figure: what is left of how much. */
export interface Observation {
  available: number;
  capacity: number;
}

/** The node's figures; signals without one are not watched. */
export type Observations = ReadonlyMap<Signal, Observation>;

/** The thresholds of a configuration. */
export function configuredThresholds(configuration: KubeletConfiguration): Threshold[] {
  const { evictionHard, evictionSoft, evictionSoftGracePeriod, evictionMinimumReclaim } = configuration;
  const make = (signal: string, value: string, graceMs: number, hard: boolean): Threshold => ({
    signal: signal as Signal,
    value,
    graceMs,
    hard,
    minReclaim: evictionMinimumReclaim[signal],
  });
  const hard = Object.entries(evictionHard).map(([signal, value]) => make(signal, value, 0, true));
  const soft = Object.entries(evictionSoft).map(([signal, value]) =>
    make(signal, value, durationMs(evictionSoftGracePeriod[signal] ?? '0s'), false),
  );
  // Pods together may run into their own limit before the node runs short.
  const memory = hard.find(({ signal }) => signal === 'memory.available');
  const enforced = configuration.enforceNodeAllocatable.includes('pods');
  const pods =
    memory !== undefined && enforced ? [{ ...memory, signal: 'allocatableMemory.available' as const }] : [];
  return [...hard, ...soft, ...pods].filter(({ value }) => value !== '0' && value !== '0%');
}

/** The thresholds that the figures meet. @param reclaim whether the minimum reclaim counts on top. */
export function metThresholds(
  thresholds: readonly Threshold[],
  observations: Observations,
  reclaim: boolean,
): Threshold[] {
  return thresholds.filter(({ signal, value, minReclaim }) => {
    const observed = observations.get(signal);
    if (observed === undefined) return false;
    const extra = reclaim ? thresholdOf(minReclaim, observed.capacity) : 0;
    return observed.available < thresholdOf(value, observed.capacity) + extra;
  });
}

/** The condition of the node that a signal stands for. */
export function conditionOf(signal: Signal): 'memory' | 'disk' | 'pid' {
  if (signal === 'pid.available') return 'pid';
  return signal.endsWith('emory.available') || signal === 'memory.available' ? 'memory' : 'disk';
}

/** The name of the starved resource, for messages. */
export function resourceOf(signal: Signal): string {
  if (signal === 'pid.available') return 'pids';
  if (conditionOf(signal) === 'memory') return 'memory';
  return signal.endsWith('inodesFree') ? 'inodes' : 'ephemeral-storage';
}
