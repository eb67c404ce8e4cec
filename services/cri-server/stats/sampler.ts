/**
 * CPU rates: usage over time, from two samples at least a second apart. Samples are taken when somebody asks,
 * and by a timer only while somebody does; an idle server reads nothing.
 */

/** Makes rates of counters. */
export interface CpuSampler extends Disposable {
  /**
   * Nanoseconds of CPU time used per second, between the last two samples of `key`; undefined until there are
   * two.
   *
   * @param read reads the counter again, in nanoseconds; undefined if it is gone.
   */
  rate(key: string, usage: bigint, read: () => bigint | undefined): bigint | undefined;
}

interface Sample {
  usage: bigint;
  /** Milliseconds. */
  at: number;
}

interface Series {
  previous?: Sample;
  latest: Sample;
  askedAt: number;
  read: () => bigint | undefined;
}

/** Milliseconds between two samples at least. */
const intervalMs = 1000;
/** Milliseconds after the last question until the timer forgets a counter. */
const interestMs = 60_000;

/** Makes a sampler. @param now milliseconds that never jump. */
export function createCpuSampler(now: () => number = () => performance.now()): CpuSampler {
  const series = new Map<string, Series>();
  let timer: NodeJS.Timeout | undefined;
  const add = (entry: Series, usage: bigint) => {
    const at = now();
    if (at - entry.latest.at < intervalMs) return;
    entry.previous = entry.latest;
    entry.latest = { usage, at };
  };
  const tick = () => {
    for (const [key, entry] of series) {
      const usage = now() - entry.askedAt > interestMs ? undefined : entry.read();
      if (usage === undefined) series.delete(key);
      else add(entry, usage);
    }
    if (series.size > 0) return;
    clearInterval(timer);
    timer = undefined;
  };
  return {
    rate(key, usage, read) {
      const known = series.get(key);
      const entry = known ?? { latest: { usage, at: now() }, askedAt: 0, read };
      entry.askedAt = now();
      series.set(key, entry);
      if (known !== undefined) add(entry, usage);
      timer ??= setInterval(tick, intervalMs + 10).unref();
      return rateOf(entry);
    },
    [Symbol.dispose]: () => clearInterval(timer),
  };
}

function rateOf({ previous, latest }: Series): bigint | undefined {
  if (previous === undefined) return undefined;
  const used = latest.usage - previous.usage;
  // A counter that went back belongs to a new group of the same name.
  if (used < 0n) return undefined;
  return BigInt(Math.round((Number(used) * 1000) / (latest.at - previous.at)));
}
