/** Remembers answers of the API server for a while, and asks it only once for the same thing at the same time. */
import { createHash } from 'node:crypto';
import type { Clock } from '#foundation/base/time.ts';

/** Answers kept at most, so that a flood of made-up tokens costs no memory. */
const maxEntries = 4096;

/** A cache. */
export interface Cache<T> {
  /**
   * The answer for `key`, fetched if it is not known or too old. Keys may be secrets: only their digests are kept.
   *
   * @throws what `fetch` throws; failures are not remembered.
   */
  get(key: string, fetch: () => Promise<T>): Promise<T>;
}

/** @param lifeMs how long an answer may be used; 0 for not at all. */
export function createCache<T>(clock: Clock, lifeMs: (answer: T) => number): Cache<T> {
  const answers = new Map<string, { answer: T; until: number }>();
  const asking = new Map<string, Promise<T>>();
  return {
    async get(key, fetch) {
      const digest = createHash('sha256').update(key).digest('base64');
      const known = answers.get(digest);
      if (known !== undefined && known.until > clock.monotonic()) return known.answer;
      const running = asking.get(digest) ?? fetch();
      asking.set(digest, running);
      try {
        const answer = await running;
        answers.delete(digest);
        answers.set(digest, { answer, until: clock.monotonic() + lifeMs(answer) });
        if (answers.size > maxEntries) answers.delete(answers.keys().next().value ?? '');
        return answer;
      } finally {
        if (asking.get(digest) === running) asking.delete(digest);
      }
    },
  };
}
