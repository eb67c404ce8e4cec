/**
 * Keeps an idle process small. V8 collects garbage when it needs room, so after a busy moment (a hundred pods that
 * start at once) a server that has little to do stays twice as large as what it needs, for hours.
 */
import { getHeapSpaceStatistics, setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { trimHeap } from './heap.ts';

/** When to collect. */
export interface IdleHeapOptions {
  /** Milliseconds between looks. */
  everyMs?: number;
  /** How much of one processor an idle process may have used since the last look. */
  busyShare?: number;
  /** Bytes by which the old generation must have grown since the last collection for another to be worth its pause. */
  grownBytes?: number;
}

/** Looks every so often until disposed; never keeps the process alive. */
export function collectWhenIdle(options: IdleHeapOptions = {}): Disposable {
  const { everyMs = 10_000, busyShare = 0.1, grownBytes = 16 * 1024 * 1024 } = options;
  const collect = collector();
  let cpu = process.cpuUsage();
  let looked = performance.now();
  let wasBusy = false;
  let collected = oldBytes();
  const timer = setInterval(() => {
    const { user, system } = process.cpuUsage(cpu);
    const share = (user + system) / 1000 / (performance.now() - looked);
    cpu = process.cpuUsage();
    looked = performance.now();
    const isBusy = share > busyShare;
    wasBusy ||= isBusy;
    if (isBusy || !(wasBusy || oldBytes() >= collected + grownBytes)) return;
    wasBusy = false;
    collect();
    collected = oldBytes();
    void trimHeap();
  }, everyMs);
  timer.unref();
  return { [Symbol.dispose]: () => clearInterval(timer) };
}

/**
 * Bytes in use that only a full collection looks at. The young generation is left out: a busy moment lets it grow to
 * more than what would be worth a collection, and from then on it fills with garbage and is emptied all the time.
 */
function oldBytes(): number {
  return getHeapSpaceStatistics()
    .filter(({ space_name }) => !space_name.startsWith('new_'))
    .reduce((sum, { space_used_size }) => sum + space_used_size, 0);
}

/** V8's own function for it, which Node shows only on demand. */
function collector(): () => void {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  setFlagsFromString('--no-expose-gc');
  return collect;
}
