/**
 * Pushes a blob, by the distribution spec's single upload: POST opens a session (or mounts the blob from
 * another repository), PUT brings all bytes. A failed PUT starts again with a new session.
 */
import type { Readable } from 'node:stream';
import type { Descriptor } from '#contracts/oci/image.ts';
import { type LocalBlob, readBlob } from '../blob/local.ts';
import { watchStalls } from '../blob/stall.ts';
import { headerOf, throwIfAborted, unavailable, unfit, type WireFailure } from '../errors.ts';
import type { Answer } from '../http/exchange.ts';
import { isRetryableStatus, retryAfterMs, withRetries } from '../http/retry.ts';
import { discard } from '../http/send.ts';
import type { PushOptions, PushOutcome } from '../types.ts';
import { hasBlobAt } from './has-blob.ts';
import { askOnce, askPlace, failedAnswer, type Operation, overHosts, type Place } from './operation.ts';

/** Puts a blob into the registry unless it is there. */
export async function pushBlob(
  operation: Operation & { options: PushOptions },
  descriptor: Descriptor,
  open: () => Readable,
): Promise<PushOutcome> {
  return overHosts(operation, 'push', async (place) => {
    if (await hasBlobAt(operation, place, descriptor)) return 'existing';
    for (const from of operation.options.mountFrom ?? [])
      if (from !== place.repository && (await mountBlob(operation, place, descriptor, from)))
        return 'mounted';
    await upload(operation, place, descriptor, open);
    return 'pushed';
  });
}

/** Whether the registry took the blob over from another of its repositories. */
async function mountBlob(
  operation: Operation,
  place: Place,
  { digest }: Descriptor,
  from: string,
): Promise<boolean> {
  const query = new URLSearchParams({ mount: digest, from });
  const ask = {
    method: 'POST',
    target: `${place.repository}/blobs/uploads/?${query}`,
    headers: { 'content-length': '0' },
    actions: 'pull,push',
    readAlso: [from],
  } as const;
  const answer = await askOnce(operation, place, ask);
  // A mount is a shortcut: whatever goes wrong with it, the upload tells properly.
  if ('error' in answer) return false;
  await discard(answer.body);
  if (answer.status === 202) await cancelSession(operation, place, answer);
  return answer.status === 201;
}

/** The registry opened a session instead of mounting; it is given back. */
async function cancelSession(operation: Operation, place: Place, opened: Answer): Promise<void> {
  const target = locationOf(operation, opened);
  const answer = await askOnce(operation, place, { method: 'DELETE', target, actions: 'pull,push' });
  if (!('error' in answer)) await discard(answer.body);
}

function upload(
  operation: Operation,
  place: Place,
  descriptor: Descriptor,
  open: () => Readable,
): Promise<void> {
  const { deps, what, options } = operation;
  const { clock, limits } = deps;
  const policy = { what, clock, limits, attempts: place.attempts, signal: options.signal };
  return withRetries(policy, async () => {
    const target = await openSession(operation, place, descriptor);
    const answer = await put(operation, place, target, { size: descriptor.size, open });
    if ('error' in answer) {
      if (!answer.retryable) throw answer.error;
      return { retry: answer.error };
    }
    if (answer.status === 201 || answer.status === 204) {
      await discard(answer.body);
      return { done: undefined };
    }
    const error = await failedAnswer(what, answer);
    // 404 and 416: the session is gone, as after a restart of the registry.
    if (!isRetryableStatus(answer.status) && answer.status !== 404 && answer.status !== 416) throw error;
    return { retry: error, afterMs: retryAfterMs(answer.headers, clock) };
  });
}

function openSession(operation: Operation, place: Place, { digest }: Descriptor): Promise<URL> {
  const ask = {
    method: 'POST',
    target: `${place.repository}/blobs/uploads/`,
    headers: { 'content-length': '0' },
    actions: 'pull,push',
  } as const;
  return askPlace(operation, place, ask, async (answer) => {
    if (answer.status !== 202) throw await failedAnswer(operation.what, answer);
    await discard(answer.body);
    const location = locationOf(operation, answer);
    location.searchParams.set('digest', digest);
    return { done: location };
  });
}

function locationOf({ what }: Operation, answer: Answer): URL {
  const location = headerOf(answer.headers, 'location');
  if (location === undefined || !URL.canParse(location, answer.url))
    throw unfit(what, `${answer.url.host} opened an upload without saying where (no valid Location)`);
  return new URL(location, answer.url);
}

/** Sends all bytes; a registry that stops taking them counts as a broken connection. */
async function put(
  operation: Operation,
  place: Place,
  target: URL,
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
  const headers = { 'content-type': 'application/octet-stream' };
  try {
    const ask = { method: 'PUT', target, headers, body, actions: 'pull,push' } as const;
    const answer = await askOnce({ ...operation, options: { ...options, signal } }, place, ask);
    if ('error' in answer && reader.failure() !== undefined) throw reader.failure();
    return answer;
  } catch (error) {
    throwIfAborted(what, options.signal);
    if (silence === undefined) throw error;
    return { error: unavailable(what, `${target.host} ${silence}`), retryable: true, notTls: false };
  } finally {
    watch.stop();
  }
}
