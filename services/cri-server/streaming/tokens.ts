/** Single-use tokens that stand for a request until its client connects. */
import { randomBytes } from 'node:crypto';
import { SkiffError } from '#foundation/base/errors.ts';
import type { Clock } from '#foundation/base/time.ts';

/** Milliseconds a token lives; what containerd and CRI-O give. */
const lifetimeMs = 60_000;
/** Tokens that may wait at once; what containerd and CRI-O allow. */
const maxWaiting = 1000;

/** Requests waiting for their clients. */
export interface Tokens<T> {
  /** Keeps a request. @returns 8 URL-safe characters. @throws SkiffError RESOURCE_EXHAUSTED if too many wait. */
  issue(request: T): string;
  /** Takes a request out; undefined for tokens that are unknown, used or too old. */
  redeem(token: string): T | undefined;
}

/** Makes an empty set. */
export function tokens<T>(clock: Pick<Clock, 'monotonic'>): Tokens<T> {
  // A Map keeps the order of insertion, so the oldest stand first.
  const waiting = new Map<string, { request: T; deadline: number }>();
  const forgetOld = () => {
    for (const [token, { deadline }] of waiting) {
      if (deadline > clock.monotonic()) return;
      waiting.delete(token);
    }
  };
  return {
    issue: (request) => {
      forgetOld();
      if (waiting.size >= maxWaiting) {
        throw new SkiffError(
          'RESOURCE_EXHAUSTED',
          `Cannot prepare a stream: ${maxWaiting} requests wait for their clients already; try again in a minute`,
        );
      }
      let token = randomBytes(6).toString('base64url');
      while (waiting.has(token)) token = randomBytes(6).toString('base64url');
      waiting.set(token, { request, deadline: clock.monotonic() + lifetimeMs });
      return token;
    },
    redeem: (token) => {
      forgetOld();
      const found = waiting.get(token);
      waiting.delete(token);
      return found?.request;
    },
  };
}
