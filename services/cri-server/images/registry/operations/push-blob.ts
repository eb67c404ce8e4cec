/**
 * Pushes a blob, by the distribution spec: POST opens a session (or mounts the blob from another repository), PUT
 * brings all bytes, or PATCH some at a time.
 */
import type { Descriptor } from '#contracts/oci/image.ts';
import { isRetryableStatus, retryAfterMs, withRetries } from '../http/retry.ts';
import { discard } from '../http/send.ts';
import type { OpenBlob, PushOptions, PushOutcome } from '../types.ts';
import { hasBlobAt } from './has-blob.ts';
import { askOnce, failedAnswer, type Operation, overHosts, type Place } from './operation.ts';
import { sendBytes } from './send-bytes.ts';
import { uploadInChunks } from './upload-chunks.ts';
import { cancelSession, openSession, withDigest } from './upload-session.ts';

/** Puts a blob into the registry unless it is there. */
export async function pushBlob(
  operation: Operation & { options: PushOptions },
  descriptor: Descriptor,
  open: OpenBlob,
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

/**
 * All bytes in one request, which every registry takes. When that breaks, or is too much for a proxy on the way, a
 * blob of more than one piece goes on in pieces, so that what has arrived need not be sent again.
 */
function upload(operation: Operation, place: Place, descriptor: Descriptor, open: OpenBlob): Promise<void> {
  const { deps, what, options } = operation;
  const { clock, limits } = deps;
  const policy = { what, clock, limits, attempts: place.attempts, signal: options.signal };
  let inPieces = false;
  return withRetries(policy, async () => {
    if (inPieces && (await uploadInChunks(operation, place, descriptor, open))) return { done: undefined };
    const { location } = await openSession(operation, place);
    const target = withDigest(location, descriptor.digest);
    const blob = { size: descriptor.size, open };
    const answer = await sendBytes(operation, place, { method: 'PUT', target }, blob);
    if ('error' in answer) {
      if (!answer.retryable) throw answer.error;
      inPieces = descriptor.size > limits.chunkBytes;
      return { retry: answer.error };
    }
    if (answer.status === 201 || answer.status === 204) {
      await discard(answer.body);
      return { done: undefined };
    }
    const error = await failedAnswer(what, answer);
    inPieces =
      descriptor.size > limits.chunkBytes && (answer.status === 413 || isRetryableStatus(answer.status));
    // 404 and 416: the session is gone, as after a restart of the registry.
    if (!inPieces && !isRetryableStatus(answer.status) && ![404, 416].includes(answer.status)) throw error;
    return { retry: error, afterMs: retryAfterMs(answer.headers, clock) };
  });
}
