/** The CRI as the kubelet calls it: every call has a deadline and is counted (kubelet-facts 11, 12). */
import type { CriClient } from '#contracts/cri/client.ts';
import type { CallOptions } from '#foundation/grpc/client.ts';

/** RuntimeService's calls. */
export type RuntimeCalls = CriClient['runtime'];
/** ImageService's calls. */
export type ImageCalls = CriClient['images'];

/** Sees every call when it has ended. */
export type CallObserver = (call: { operation: string; seconds: number; failed: boolean }) => void;

/** Calls whose length the caller decides, and streams. */
const unlimited = new Set(['pullImage', 'execSync', 'getContainerEvents', 'stopContainer']);

type AnyCall = (request: object, options?: CallOptions) => unknown;

/**
 * Wraps a client so that every unary call ends after `timeoutMs` unless its caller set a time, and `observe`
 * sees its outcome.
 */
export function watchedCalls<T extends object>(calls: T, timeoutMs: number, observe: CallObserver): T {
  const wrapped = Object.entries(calls).map(([name, call]) => {
    return [name, watchedCall(name, call as AnyCall, timeoutMs, observe)];
  });
  return Object.fromEntries(wrapped) as T;
}

function watchedCall(name: string, call: AnyCall, timeoutMs: number, observe: CallObserver): AnyCall {
  const operation = name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
  return (request, options = {}) => {
    const limit = options.timeoutMs ?? (unlimited.has(name) ? undefined : timeoutMs);
    const start = performance.now();
    const done = (failed: boolean) => {
      observe({ operation, seconds: (performance.now() - start) / 1000, failed });
    };
    const answer = call(request, { ...options, timeoutMs: limit });
    if (answer instanceof Promise)
      answer.then(
        () => done(false),
        () => done(true),
      );
    return answer;
  };
}
