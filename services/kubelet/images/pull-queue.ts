/** Pulls of one image are shared, all pulls run one after another or at most so many at once. */

/** Runs pulls within a limit. */
export interface PullQueue {
  /** Runs `pull`, or waits for one of the same key that is under way. */
  run<T>(key: string, pull: () => Promise<T>): Promise<T>;
}

/**
 * Makes a queue.
 *
 * @param limit how many pulls may run at once: 1 for `serializeImagePulls`.
 */
export function createPullQueue(limit: number): PullQueue {
  const shared = new Map<string, Promise<unknown>>();
  const waiting: (() => void)[] = [];
  let running = 0;
  const take = async () => {
    if (running < limit) {
      running += 1;
      return;
    }
    const turn = Promise.withResolvers<void>();
    waiting.push(turn.resolve);
    await turn.promise;
  };
  const give = () => {
    const next = waiting.shift();
    if (next === undefined) running -= 1;
    else next();
  };
  return {
    run<T>(key: string, pull: () => Promise<T>): Promise<T> {
      const present = shared.get(key);
      if (present !== undefined) return present as Promise<T>;
      const work = (async () => {
        await take();
        try {
          return await pull();
        } finally {
          give();
          shared.delete(key);
        }
      })();
      shared.set(key, work);
      return work;
    },
  };
}
