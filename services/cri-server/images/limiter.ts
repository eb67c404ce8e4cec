/** Lets only some work run at once; the rest waits in order of arrival. */

/** A counting semaphore. */
export interface Limiter {
  /** @throws the signal's reason if it aborts before the turn came; what `work` throws. */
  run<T>(work: () => Promise<T>, signal?: AbortSignal): Promise<T>;
}

/** @param most how many may run at once. */
export function limiter(most: number): Limiter {
  let running = 0;
  const waiting: (() => void)[] = [];
  return {
    run: async (work, signal) => {
      if (running >= most) await turn(waiting, signal);
      else running += 1;
      try {
        signal?.throwIfAborted();
        return await work();
      } finally {
        const next = waiting.shift();
        // The place is handed over, so that nobody can take it in between.
        if (next === undefined) running -= 1;
        else next();
      }
    },
  };
}

function turn(waiting: (() => void)[], signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    const enter = () => {
      signal?.removeEventListener('abort', leave);
      resolve();
    };
    const leave = () => {
      waiting.splice(waiting.indexOf(enter), 1);
      reject(signal?.reason);
    };
    waiting.push(enter);
    signal?.addEventListener('abort', leave, { once: true });
  });
}
