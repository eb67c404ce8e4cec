/** Notices transfers that have stopped, or nearly: only while somebody wants their bytes. */
import type { Clock } from '#foundation/base/time.ts';
import type { Limits } from '../types.ts';

/** Watches one transfer. */
export interface StallWatch {
  /** Bytes arrived. */
  add(bytes: number): void;
  /** The consumer does not want bytes for now: silence is its own doing. */
  pause(): void;
  /** It wants them again. */
  resume(): void;
  /** Ends the watch. */
  stop(): void;
}

/**
 * Starts a watch.
 *
 * @param onStall called once, with why: no byte for `stallMs`, or fewer than `slowBytes` in `slowMs`.
 */
export function watchStalls(
  limits: Pick<Limits, 'stallMs' | 'slowMs' | 'slowBytes'>,
  clock: Clock,
  onStall: (why: string) => void,
): StallWatch {
  let paused = false;
  let lastByte = clock.monotonic();
  let windowStart = lastByte;
  let windowBytes = 0;
  const restart = () => {
    lastByte = windowStart = clock.monotonic();
    windowBytes = 0;
  };
  const check = () => {
    if (paused) return;
    const now = clock.monotonic();
    if (now - lastByte >= limits.stallMs) return end(`sent nothing for ${limits.stallMs} ms`);
    if (now - windowStart < limits.slowMs) return;
    if (windowBytes < limits.slowBytes) return end(`sent only ${windowBytes} bytes in ${limits.slowMs} ms`);
    windowStart = now;
    windowBytes = 0;
  };
  const timer = setInterval(check, Math.max(5, Math.min(limits.stallMs, limits.slowMs) / 4));
  const end = (why: string) => {
    clearInterval(timer);
    onStall(why);
  };
  return {
    add(bytes) {
      lastByte = clock.monotonic();
      windowBytes += bytes;
    },
    pause: () => {
      paused = true;
    },
    resume: () => {
      if (paused) restart();
      paused = false;
    },
    stop: () => clearInterval(timer),
  };
}
