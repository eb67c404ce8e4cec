/** Work that several callers may want at once and that is done once: identical pulls, the same layer. */

/** Work under way, by key. */
export interface SharedWork<T> {
  /**
   * Joins the work of `key`, or starts it. The work's own signal aborts when every caller has left.
   *
   * @throws what the work throws, or the reason of the caller's own `signal`.
   */
  join(key: string, start: (signal: AbortSignal) => Promise<T>, signal?: AbortSignal): Promise<T>;
}

interface Entry<T> {
  promise: Promise<T>;
  controller: AbortController;
  callers: number;
}

/** Makes an empty set of shared work. */
export function sharedWork<T>(): SharedWork<T> {
  const entries = new Map<string, Entry<T>>();
  const begin = (key: string, start: (signal: AbortSignal) => Promise<T>): Entry<T> => {
    const controller = new AbortController();
    const promise = start(controller.signal).finally(() => {
      if (entries.get(key) === entry) entries.delete(key);
    });
    const entry: Entry<T> = { promise, controller, callers: 0 };
    promise.catch(() => {}); // Each caller gets it; none may be left.
    entries.set(key, entry);
    return entry;
  };
  return {
    join: async (key, start, signal) => {
      signal?.throwIfAborted();
      const entry = entries.get(key) ?? begin(key, start);
      entry.callers += 1;
      const left = Promise.withResolvers<never>();
      left.promise.catch(() => {});
      const leave = () => left.reject(signal?.reason);
      signal?.addEventListener('abort', leave, { once: true });
      try {
        return await Promise.race([entry.promise, left.promise]);
      } finally {
        signal?.removeEventListener('abort', leave);
        entry.callers -= 1;
        if (entry.callers === 0) {
          // Whoever comes now starts anew: this one is being cancelled.
          if (entries.get(key) === entry) entries.delete(key);
          entry.controller.abort(signal?.reason);
        }
      }
    },
  };
}
