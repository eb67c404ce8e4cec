/** CPU use per second from totals that only grow: the difference between two looks at least a few seconds apart. */
import type { Clock } from '#foundation/base/time.ts';

const leastSpanMs = 2000;
const maxAgeMs = 10 * 60_000;

interface Look {
  at: number;
  total: number;
  rate: number | undefined;
}

/**
 * Makes a function that turns totals (nanoseconds) into nanoseconds per second.
 *
 * @returns undefined until a second look.
 */
export function createRates(clock: Clock): (key: string, total: number | undefined) => number | undefined {
  const looks = new Map<string, Look>();
  return (key, total) => {
    if (total === undefined) return undefined;
    const now = clock.monotonic();
    for (const [other, { at }] of looks) if (now - at > maxAgeMs) looks.delete(other);
    const before = looks.get(key);
    if (before !== undefined && now - before.at < leastSpanMs) return before.rate;
    const rate =
      before === undefined || total < before.total
        ? undefined
        : Math.round(((total - before.total) * 1000) / (now - before.at));
    looks.set(key, { at: now, total, rate });
    return rate;
  };
}
