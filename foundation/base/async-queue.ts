/** A queue between code that calls back and code that iterates: what is pushed is what the loop sees, in order. */

/** A queue with one reader. */
export interface AsyncQueue<T> extends AsyncIterable<T> {
  /** Adds an item; ignored once the queue has ended. */
  push(item: T): void;
  /** No more items: the reader sees those that are there and then the end, or `error` thrown. */
  end(error?: unknown): void;
}

/** Makes an empty queue. Items are kept until they are read, without bound: push only what is small. */
export function asyncQueue<T>(): AsyncQueue<T> {
  const items: T[] = [];
  let ended: { error?: unknown } | undefined;
  let wake: (() => void) | undefined;
  const notify = () => {
    wake?.();
    wake = undefined;
  };
  return {
    push(item) {
      if (ended !== undefined) return;
      items.push(item);
      notify();
    },
    end(error) {
      ended ??= error === undefined ? {} : { error };
      notify();
    },
    async *[Symbol.asyncIterator]() {
      for (;;) {
        while (items.length > 0) yield items.shift() as T;
        if (ended !== undefined) {
          if ('error' in ended) throw ended.error;
          return;
        }
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
    },
  };
}
