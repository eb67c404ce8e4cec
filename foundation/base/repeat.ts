/** Work on a beat: rounds one after another, with a pause between, until told to stop. */
import type { Clock } from './time.ts';

/** Something that runs until it is stopped. */
export interface Repeating {
  /** Ends it and waits for the round under way. */
  stop(): Promise<void>;
}

/** What runs when. */
export interface RepeatOptions {
  clock: Clock;
  /** Milliseconds between the end of a round and the beginning of the next; asked anew each time. */
  pauseMs: () => number;
  /** Milliseconds before the first round; none unless told. */
  delayMs?: number;
  /** One round. Its signal aborts when the whole is stopped. */
  round: (signal: AbortSignal) => Promise<void>;
  /** Hears of rounds that failed; the next comes all the same. */
  onError: (error: unknown) => void;
}

/** Starts the rounds. */
export function repeat(options: RepeatOptions): Repeating {
  const stopping = new AbortController();
  const { signal } = stopping;
  const sleep = (ms: number) => options.clock.sleep(ms, signal).catch(() => {});
  const loop = async () => {
    if (options.delayMs !== undefined) await sleep(options.delayMs);
    while (!signal.aborted) {
      try {
        await options.round(signal);
      } catch (error) {
        if (!signal.aborted) options.onError(error);
      }
      await sleep(options.pauseMs());
    }
  };
  const done = loop();
  return {
    stop: () => {
      stopping.abort(new Error('it is being stopped'));
      return done;
    },
  };
}
