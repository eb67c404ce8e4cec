/**
 * Keeps an idle process small. V8 collects garbage when it needs room, so after a busy moment (a hundred pods that
 * start at once) a server that has little to do stays twice as large as what it needs, for hours.
 */
import { getHeapStatistics, setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { trimHeap } from './heap.ts';

/** When to collect. */
export interface IdleHeapOptions {
  /** Milliseconds between looks. */
  everyMs?: number;
  /** How much of one processor an idle process may have used since the last look. */
  busyShare?: number;
  /** Bytes by which the heap must have grown since the last collection for another to be worth its pause. */
  grownBytes?: number;
}

/** Looks every so often until disposed; never keeps the process alive. */
export function collectWhenIdle(options: IdleHeapOptions = {}): Disposable {
  const { everyMs = 10_000, busyShare = 0.1, grownBytes = 16 * 1024 * 1024 } = options;
  const collect = collector();
  let cpu = process.cpuUsage();
  let looked = performance.now();
  let wasBusy = false;
  let collected = getHeapStatistics().used_heap_size;
  const timer = setInterval(() => {
    const { user, system } = process.cpuUsage(cpu);
    const share = (user + system) / 1000 / (performance.now() - looked);
    cpu = process.cpuUsage();
    looked = performance.now();
    const isBusy = share > busyShare;
    wasBusy ||= isBusy;
    if (isBusy || !(wasBusy || getHeapStatistics().used_heap_size >= collected + grownBytes)) return;
    wasBusy = false;
    collect();
    collected = getHeapStatistics().used_heap_size;
    void trimHeap();
  }, everyMs);
  timer.unref();
  return { [Symbol.dispose]: () => clearInterval(timer) };
}

/** V8's own function for it, which Node shows only on demand. */
function collector(): () => void {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  setFlagsFromString('--no-expose-gc');
  return collect;
}
