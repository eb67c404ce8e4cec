/** Sends bytes of this machine to an upload session. */
import { type LocalBlob, readBlob } from '../blob/local.ts';
import { watchStalls } from '../blob/stall.ts';
import { throwIfAborted, unavailable, type WireFailure } from '../errors.ts';
import type { Answer } from '../http/exchange.ts';
import { askOnce, type Operation, type Place } from './operation.ts';

/** How to send. */
export interface Sending {
  method: 'PUT' | 'PATCH';
  target: URL;
  headers?: Record<string, string>;
}

/** Sends all bytes of `blob`; a registry that stops taking them counts as a broken connection. */
export async function sendBytes(
  operation: Operation,
  place: Place,
  { method, target, headers: more }: Sending,
  blob: LocalBlob,
): Promise<Answer | WireFailure> {
  const { deps, what, options } = operation;
  const stalled = new AbortController();
  let silence: string | undefined;
  const watch = watchStalls(deps.limits, deps.clock, (why) => {
    silence = why.replace('sent', 'took');
    stalled.abort();
  });
  const signal = options.signal ? AbortSignal.any([options.signal, stalled.signal]) : stalled.signal;
  const reader = readBlob(what, blob, {
    taken(bytes) {
      watch.add(bytes);
      options.onProgress?.(bytes);
    },
    ended: () => watch.stop(),
  });
  const body = { open: reader.open, length: blob.size };
  const headers = { 'content-type': 'application/octet-stream', ...more };
  try {
    const ask = { method, target, headers, body, actions: 'pull,push' } as const;
    const answer = await askOnce({ ...operation, options: { ...options, signal } }, place, ask);
    if ('error' in answer && reader.failure() !== undefined) throw reader.failure();
    return answer;
  } catch (error) {
    throwIfAborted(what, options.signal);
    if (silence === undefined) throw reader.failure() ?? error;
    return { error: unavailable(what, `${target.host} ${silence}`), retryable: true, notTls: false };
  } finally {
    watch.stop();
  }
}
