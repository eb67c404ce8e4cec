/** A clock for tests that moves only when it is told to. */
import { setImmediate as turn } from 'node:timers/promises';
import type { Clock } from './time.ts';

/** A clock whose time stands still between calls of `advance`. */
export interface FakeClock extends Clock {
  /** Moves on by `ms` milliseconds, waking sleepers in the order of their times; each gets to run before the next. */
  advance(ms: number): Promise<void>;
  /** How many sleep now. */
  readonly sleepers: number;
}

interface Sleeper {
  until: number;
  wake: () => void;
}

/**
 * Makes a fake clock.
 *
 * @param start milliseconds since the epoch.
 */
export function fakeClock(start = Date.UTC(2026, 0, 1)): FakeClock {
  let elapsed = 0;
  const sleepers = new Set<Sleeper>();
  const nextDue = (limit: number): Sleeper | undefined =>
    [...sleepers].filter((each) => each.until <= limit).sort((a, b) => a.until - b.until)[0];
  return {
    now: () => start + elapsed,
    monotonic: () => elapsed,
    sleep: (ms, signal) =>
      new Promise((resolve, reject) => {
        if (signal?.aborted) return reject(signal.reason);
        const cancel = () => {
          sleepers.delete(sleeper);
          reject(signal?.reason);
        };
        const sleeper: Sleeper = {
          until: elapsed + ms,
          wake: () => {
            sleepers.delete(sleeper);
            signal?.removeEventListener('abort', cancel);
            resolve();
          },
        };
        sleepers.add(sleeper);
        signal?.addEventListener('abort', cancel, { once: true });
      }),
    async advance(ms) {
      const limit = elapsed + ms;
      await settle();
      for (let due = nextDue(limit); due !== undefined; due = nextDue(limit)) {
        elapsed = Math.max(elapsed, due.until);
        due.wake();
        await settle();
      }
      elapsed = limit;
    },
    get sleepers() {
      return sleepers.size;
    },
  };
}

/** Lets everything that is ready run: promises, and one turn of the event loop for each layer of them. */
async function settle(): Promise<void> {
  for (let turns = 0; turns < 3; turns++) await turn();
}
