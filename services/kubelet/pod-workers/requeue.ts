/** When a pod is looked at again (kubelet-facts 2). */
import { isSkiffError } from '#foundation/base/errors.ts';
import { StartError } from '../runtime-manager/start-error.ts';

/** Milliseconds; the figures of KubeletConfiguration. */
export interface RequeueTimes {
  /** After a success: `syncFrequency`. */
  syncMs: number;
  /** After an error. */
  errorMs: number;
  /** While the runtime's network is not ready. */
  networkMs: number;
}

export const defaultRequeueTimes: RequeueTimes = { syncMs: 60_000, errorMs: 10_000, networkMs: 1000 };

/** A sync of a pod that failed, with every failure that led to it. */
export class SyncError extends AggregateError {}

/** Thrown while the runtime's network is not ready; the pod waits for it. */
export const networkNotReady = 'NetworkPluginNotReady';

/**
 * Milliseconds until the next sync.
 *
 * @param random in [0, 1): spreads pods over time.
 */
export function requeueDelay(error: unknown, times: RequeueTimes, random: number): number {
  const spread = (ms: number) => ms * (1 + random / 2);
  if (error === undefined) return spread(times.syncMs);
  if (isSkiffError(error, 'UNAVAILABLE') && error.message.includes(networkNotReady)) {
    return spread(times.networkMs);
  }
  const earliest = earliestRetry(error);
  if (earliest !== undefined) return Math.min(Math.max(0, earliest), times.syncMs);
  return spread(times.errorMs);
}

/** The earliest end of a back-off, if every failure is one. */
function earliestRetry(error: unknown): number | undefined {
  const errors = error instanceof AggregateError ? error.errors : [error];
  const waits = errors.map((each) => (each instanceof StartError ? each.retryAfterMs : undefined));
  if (waits.length === 0 || waits.includes(undefined)) return undefined;
  return Math.min(...waits.filter((wait) => wait !== undefined));
}
