/** Tries again what may work later: with growing pauses, or after the time that the server names. */
import type { IncomingHttpHeaders } from 'node:http';
import type { SkiffError } from '#foundation/base/errors.ts';
import type { Clock } from '#foundation/base/time.ts';
import { aborted, headerOf } from '../errors.ts';
import type { Limits } from '../types.ts';

/** What one attempt came to; permanent failures are thrown. */
export type Attempt<T> =
  | { done: T }
  | { retry: SkiffError /** Milliseconds the server asks for. */; afterMs?: number };

/** How often and how long. */
export interface RetryPolicy {
  what: string;
  attempts: number;
  clock: Clock;
  limits: Pick<Limits, 'backoffMs' | 'maxBackoffMs'>;
  signal?: AbortSignal;
}

/**
 * Runs `work` until it is done or the attempts are used up.
 *
 * @throws the last attempt's error; at once if the server asks for a longer pause than the limit.
 */
export async function withRetries<T>(policy: RetryPolicy, work: () => Promise<Attempt<T>>): Promise<T> {
  for (let attempt = 1; ; attempt += 1) {
    const result = await work();
    if ('done' in result) return result.done;
    const tooLong = (result.afterMs ?? 0) > policy.limits.maxBackoffMs;
    if (attempt >= policy.attempts || tooLong) throw result.retry;
    await pause(policy, result.afterMs ?? backoffMs(policy.limits, attempt));
  }
}

/** The pause after the n-th failure: doubling, and up to a quarter off so that clients spread out. */
export function backoffMs(limits: Pick<Limits, 'backoffMs' | 'maxBackoffMs'>, attempt: number): number {
  const full = Math.min(limits.maxBackoffMs, limits.backoffMs * 2 ** (attempt - 1));
  return full * (1 - Math.random() / 4);
}

/** Sleeps. @throws CANCELLED or DEADLINE_EXCEEDED by the signal. */
export async function pause(policy: Omit<RetryPolicy, 'attempts' | 'limits'>, ms: number): Promise<void> {
  try {
    await policy.clock.sleep(ms, policy.signal);
  } catch (error) {
    if (policy.signal?.aborted) throw aborted(policy.what, policy.signal);
    throw error;
  }
}

/** Whether a status may be another one later: overload and trouble behind the server. */
export function isRetryableStatus(status: number): boolean {
  return [408, 425, 429, 500, 502, 503, 504].includes(status);
}

/** The Retry-After header (RFC 9110, 10.2.3) in milliseconds: seconds or a date. */
export function retryAfterMs(headers: IncomingHttpHeaders, clock: Clock): number | undefined {
  const value = headerOf(headers, 'retry-after');
  if (value === undefined) return undefined;
  if (/^\d{1,9}$/.test(value)) return Number(value) * 1000;
  const date = Date.parse(value);
  return Number.isNaN(date) ? undefined : Math.max(0, date - clock.now());
}
