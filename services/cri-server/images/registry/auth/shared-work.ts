/** Work that several callers wait for together. It ends when it is done, or when the last of them leaves. */

/** Work under way, by key. */
export interface SharedWork<T> {
  /**
   * Joins the work of `key`, or starts it.
   *
   * @param work its signal aborts when nobody waits any more.
   * @throws the caller's own signal's reason; whatever the work throws.
   */
  run(key: string, work: (signal: AbortSignal) => Promise<T>, signal?: AbortSignal): Promise<T>;
}

interface Running<T> {
  promise: Promise<T>;
  controller: AbortController;
  waiters: number;
}

/** Makes an empty set of shared work. */
export function sharedWork<T>(): SharedWork<T> {
  const running = new Map<string, Running<T>>();
  const start = (key: string, work: (signal: AbortSignal) => Promise<T>): Running<T> => {
    const controller = new AbortController();
    const forget = () => {
      if (running.get(key) === started) running.delete(key);
    };
    const promise = work(controller.signal).finally(forget);
    promise.catch(() => {}); // All who waited may have left.
    const started: Running<T> = { promise, controller, waiters: 0 };
    running.set(key, started);
    return started;
  };
  return {
    async run(key, work, signal) {
      signal?.throwIfAborted();
      const joined = running.get(key) ?? start(key, work);
      joined.waiters += 1;
      const left = Promise.withResolvers<never>();
      const leave = () => left.reject(signal?.reason);
      signal?.addEventListener('abort', leave, { once: true });
      try {
        return await Promise.race([joined.promise, left.promise]);
      } finally {
        signal?.removeEventListener('abort', leave);
        joined.waiters -= 1;
        if (joined.waiters === 0) {
          if (running.get(key) === joined) running.delete(key);
          joined.controller.abort();
        }
      }
    },
  };
}
