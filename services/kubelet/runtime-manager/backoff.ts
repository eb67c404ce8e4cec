/**
 * Exponential back-off by key, measured against the time of an event (a container's end) rather than the time
 * of asking. Figures in kubelet-facts 2.
 */

/** How a back-off grows. */
export interface BackoffOptions {
  initialMs: number;
  maxMs: number;
  /** An entry counts as forgotten when the event came this long after the last start. */
  resetMs: number;
}

interface Entry {
  delayMs: number;
  /** When the delay was last raised: the last start. */
  at: number;
}

/** Delays by key. Times are milliseconds since the epoch. */
export interface Backoff {
  /** Milliseconds to wait at `now` before acting on an event of `eventAt`; 0 when it may act. */
  remaining(key: string, eventAt: number, now: number): number;
  /** Records that it acted: the next delay is longer, or the first again. */
  next(key: string, eventAt: number, now: number): void;
  /** The delay of a key, for messages. */
  delay(key: string): number;
  forget(key: string): void;
  /** Drops entries nobody touched for twice the longest time that counts. */
  collect(now: number): void;
}

/** Makes an empty set of back-offs. */
export function createBackoff({ initialMs, maxMs, resetMs }: BackoffOptions): Backoff {
  const entries = new Map<string, Entry>();
  const live = (key: string, eventAt: number): Entry | undefined => {
    const entry = entries.get(key);
    return entry === undefined || eventAt - entry.at > resetMs ? undefined : entry;
  };
  return {
    remaining(key, eventAt, now) {
      const entry = live(key, eventAt);
      if (entry === undefined) return 0;
      // A clock that jumped back must not lengthen the delay.
      const waited = Math.max(0, now - eventAt);
      return Math.max(0, Math.min(entry.delayMs, maxMs) - waited);
    },
    next(key, eventAt, now) {
      const entry = live(key, eventAt);
      const delayMs = entry === undefined ? initialMs : Math.min(entry.delayMs * 2, maxMs);
      entries.set(key, { delayMs: Math.min(delayMs, maxMs), at: now });
    },
    delay: (key) => entries.get(key)?.delayMs ?? 0,
    forget: (key) => void entries.delete(key),
    collect(now) {
      for (const [key, entry] of entries) {
        if (now - entry.at > 2 * Math.max(resetMs, maxMs)) entries.delete(key);
      }
    },
  };
}
