/** Keyed locks: callers of one key run one after another, in order of arrival; other keys run beside. */

/** A set of mutexes by key. A key costs memory only while somebody holds or awaits it. */
export interface KeyedLocks {
  /**
   * Runs `work` while holding `key`.
   *
   * @throws the signal's reason if it aborts before the lock was obtained; whatever `work` throws.
   */
  run<T>(key: string, work: () => Promise<T>, signal?: AbortSignal): Promise<T>;
  /** How many keys are held or awaited now. */
  readonly size: number;
}

/** Makes an empty set of keyed locks. */
export function keyedLocks(): KeyedLocks {
  const tails = new Map<string, Promise<void>>();
  return {
    async run(key, work, signal) {
      const before = tails.get(key);
      const released = Promise.withResolvers<void>();
      const tail = before === undefined ? released.promise : before.then(() => released.promise);
      tails.set(key, tail);
      try {
        if (before !== undefined) await untilAborted(before, signal);
        signal?.throwIfAborted();
        return await work();
      } finally {
        released.resolve();
        if (tails.get(key) === tail) tails.delete(key);
      }
    },
    get size() {
      return tails.size;
    },
  };
}

async function untilAborted(promise: Promise<void>, signal: AbortSignal | undefined): Promise<void> {
  if (signal === undefined) return promise;
  signal.throwIfAborted();
  const aborted = Promise.withResolvers<never>();
  const onAbort = () => aborted.reject(signal.reason);
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    await Promise.race([promise, aborted.promise]);
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}
