/** A fixed beat: rounds begin at multiples of a period after the start, however long each takes. */
import type { Clock } from '#foundation/base/time.ts';

/** A running beat. */
export interface Beat {
  /** Begins a round now and counts the period anew from here. */
  trigger(): void;
  /** Ends it; the round under way sees its signal abort. */
  stop(): void;
  /** Resolves when the last round has ended. */
  readonly done: Promise<void>;
}

/**
 * Runs `round` once after `delayMs`, then every `periodMs`, until it answers false or `stop` is called. A round that
 * takes longer than the period is followed at once by the next, then the old beat goes on.
 */
export function startBeat(
  clock: Clock,
  periodMs: number,
  delayMs: number,
  round: (signal: AbortSignal) => Promise<boolean>,
): Beat {
  const stopping = new AbortController();
  // What wakes it: made anew only when it did, since signals cost more than the timer.
  let wake = new AbortController();
  let triggered = false;
  const loop = async () => {
    if (delayMs > 0) await pause(clock, delayMs, stopping.signal);
    let next = clock.monotonic() + periodMs;
    while (!stopping.signal.aborted && (await round(stopping.signal))) {
      const wait = next - clock.monotonic();
      if (wait > 0 && !wake.signal.aborted) await pause(clock, wait, wake.signal);
      const late = clock.monotonic() - next;
      if (triggered) next = clock.monotonic() + periodMs;
      else next += late > periodMs ? Math.floor(late / periodMs) * periodMs : periodMs;
      if (!triggered) continue;
      triggered = false;
      wake = new AbortController();
    }
  };
  return {
    trigger() {
      triggered = true;
      wake.abort();
    },
    stop() {
      stopping.abort();
      wake.abort();
    },
    done: loop(),
  };
}

/** Sleeps; waking early is no failure. */
async function pause(clock: Clock, ms: number, signal: AbortSignal): Promise<void> {
  await clock.sleep(ms, signal).catch(() => {});
}
