/** What all roots take on disk together. */
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { TreeUsage } from '../unpack/usage.ts';

/**
 * Milliseconds that a measurement counts, the same as cAdvisor's for the layers of containers: kubelets ask every few
 * seconds, there may be hundreds of trees, and no limit hangs on the sum (what is free on the disk is asked of it).
 */
const freshMs = 60_000;

/** What it is made from. */
export interface TotalUsageDeps {
  keys(): Iterable<string>;
  usageOf(key: string): Promise<TreeUsage>;
  /** Milliseconds of a clock that never jumps. */
  now?: () => number;
}

/** Makes a function that measures, or tells what was measured just now. */
export function totalUsage({
  keys,
  usageOf,
  now = () => performance.now(),
}: TotalUsageDeps): () => Promise<TreeUsage> {
  let last: { at: number; sum: Promise<TreeUsage> } | undefined;
  const measure = async (): Promise<TreeUsage> => {
    const sum = { bytes: 0, inodes: 0 };
    for (const key of [...keys()]) {
      // A root that is being removed takes nothing any more.
      const { bytes, inodes } = await usageOf(key).catch(() => ({ bytes: 0, inodes: 0 }));
      sum.bytes += bytes;
      sum.inodes += inodes;
      await nextTurn(); // Others first: there may be hundreds.
    }
    return sum;
  };
  return () => {
    if (last === undefined || now() - last.at > freshMs) last = { at: now(), sum: measure() };
    return last.sum;
  };
}
