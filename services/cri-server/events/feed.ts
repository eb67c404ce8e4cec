/** One feed of events for any number of subscribers, each with a bounded queue of its own. */
import { SkiffError } from '#foundation/base/errors.ts';

/** A feed. */
export interface Feed<T> {
  /** Gives `item` to every subscriber; costs nothing without one. */
  publish(item: T): void;
  /**
   * Everything that is published from now on, until the signal aborts.
   *
   * @throws SkiffError RESOURCE_EXHAUSTED in the iteration if the reader falls behind by more than the limit:
   *   it then knows that it must look at everything anew.
   */
  subscribe(signal: AbortSignal): AsyncGenerator<T>;
  readonly subscribers: number;
}

interface Subscriber<T> {
  queue: T[];
  overflowed: boolean;
  wake: () => void;
}

/** Makes a feed. @param limit items that wait for one subscriber at most. */
export function createFeed<T>(limit = 1000): Feed<T> {
  const subscribers = new Set<Subscriber<T>>();
  return {
    publish(item) {
      for (const subscriber of subscribers) {
        if (subscriber.queue.length < limit) subscriber.queue.push(item);
        else subscriber.overflowed = true;
        subscriber.wake();
      }
    },
    async *subscribe(signal) {
      const subscriber: Subscriber<T> = { queue: [], overflowed: false, wake: () => {} };
      const wake = () => subscriber.wake();
      subscribers.add(subscriber);
      signal.addEventListener('abort', wake, { once: true });
      try {
        while (!signal.aborted) {
          const next = subscriber.queue.shift();
          if (next !== undefined) yield next;
          else if (subscriber.overflowed) throw behind(limit);
          else
            await new Promise<void>((resolve) => {
              subscriber.wake = resolve;
            });
        }
      } finally {
        subscribers.delete(subscriber);
        signal.removeEventListener('abort', wake);
      }
    },
    get subscribers() {
      return subscribers.size;
    },
  };
}

function behind(limit: number): SkiffError {
  return new SkiffError(
    'RESOURCE_EXHAUSTED',
    `The reader of events is more than ${limit} behind; list everything and subscribe again`,
  );
}
