/** Clocks, sleeping and deadlines. Code that waits takes a `Clock`, so that tests need not. */
import { setTimeout as wait } from 'node:timers/promises';
import { SkiffError } from './errors.ts';

/** What code that measures or waits needs of time. */
export interface Clock {
  /** Milliseconds since the epoch. */
  now(): number;
  /** Milliseconds of a clock that never jumps. */
  monotonic(): number;
  /** Resolves after `ms` milliseconds; rejects with the signal's reason if it aborts first. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
}

/** Milliseconds that a timer of Node waits at the most: one that is asked for more fires at once. */
export const longestTimerMs = 2 ** 31 - 1;

/** The machine's clock. */
export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  sleep: async (ms, signal) => {
    try {
      for (let left = ms; ; left -= longestTimerMs) {
        await wait(Math.min(left, longestTimerMs), undefined, { signal });
        if (left <= longestTimerMs) return;
      }
    } catch (error) {
      throw signal?.aborted ? signal.reason : error;
    }
  },
};

/** Nanoseconds since the epoch, as the CRI's timestamps want them. */
export function nowNanos(): bigint {
  return BigInt(Math.round((performance.timeOrigin + performance.now()) * 1000)) * 1000n;
}

/**
 * Runs `work` with a signal that aborts after `ms` milliseconds or with the caller's.
 *
 * @param what what is being done, for the message.
 * @param ms 24 days count as for ever.
 * @throws SkiffError DEADLINE_EXCEEDED when the time is over; CANCELLED by the caller's signal.
 */
export async function withDeadline<T>(
  what: string,
  ms: number,
  work: (signal: AbortSignal) => Promise<T>,
  caller?: AbortSignal,
): Promise<T> {
  const controller = new AbortController();
  const ended = Promise.withResolvers<never>();
  const end = (error: Error) => {
    controller.abort(error);
    ended.reject(error);
  };
  const late = () => end(new SkiffError('DEADLINE_EXCEEDED', `${what} took longer than ${ms} ms`));
  const cancel = () => end(new SkiffError('CANCELLED', `${what} was cancelled`, { cause: caller?.reason }));
  const timer = ms < longestTimerMs ? setTimeout(late, ms) : undefined;
  caller?.addEventListener('abort', cancel, { once: true });
  try {
    if (caller?.aborted) cancel();
    return await Promise.race([work(controller.signal), ended.promise]);
  } finally {
    clearTimeout(timer);
    caller?.removeEventListener('abort', cancel);
    ended.promise.catch(() => {});
  }
}
