/**
 * Uploads a blob in pieces: PATCH for each, then PUT without bytes. After a failure the registry tells how far it
 * is, and the upload goes on there.
 */
import type { Descriptor } from '#contracts/oci/image.ts';
import { unavailable } from '../errors.ts';
import { isRetryableStatus, retryAfterMs, withRetries } from '../http/retry.ts';
import { discard } from '../http/send.ts';
import type { OpenBlob } from '../types.ts';
import { hasBlobAt } from './has-blob.ts';
import { askOnce, failedAnswer, type Operation, type Place } from './operation.ts';
import { sendBytes } from './send-bytes.ts';
import { askSession, movedTo, openSession, type UploadSession, withDigest } from './upload-session.ts';

/** A piece is not made smaller than this for a server that finds it too large. */
const leastChunkBytes = 64 * 1024;

/**
 * Uploads.
 *
 * @returns false if the registry takes no pieces.
 * @throws SkiffError as the registry refuses, or when the attempts for one piece are used up.
 */
export async function uploadInChunks(
  operation: Operation,
  place: Place,
  descriptor: Descriptor,
  open: OpenBlob,
): Promise<boolean> {
  const sizes = { chunk: operation.deps.limits.chunkBytes };
  let session: UploadSession | undefined = await openSession(operation, place);
  while (session.offset < descriptor.size) {
    session = await sendChunk(operation, place, { session, sizes, size: descriptor.size, open });
    if (session === undefined) return false;
  }
  await endUpload(operation, place, session, descriptor);
  return true;
}

interface Chunk {
  session: UploadSession;
  /** Made smaller where pieces are too large. */
  sizes: { chunk: number };
  /** Bytes of the whole blob. */
  size: number;
  open: OpenBlob;
}

/** Sends one piece. @returns where the upload is then; undefined if the registry takes no pieces. */
function sendChunk(operation: Operation, place: Place, chunk: Chunk): Promise<UploadSession | undefined> {
  const { what, deps, options } = operation;
  const { clock, limits } = deps;
  let { session } = chunk;
  const policy = { what, clock, limits, attempts: place.attempts, signal: options.signal };
  return withRetries<UploadSession | undefined>(policy, async () => {
    const { offset } = session;
    const answer = await sendFrom(operation, place, session, chunk);
    const goOn = async () => {
      session = (await askSession(operation, place, session)) ?? (await openSession(operation, place));
    };
    if ('error' in answer) {
      if (!answer.retryable) throw answer.error;
      // Too much for a proxy may look like this as well: it closes the connection.
      shrink(chunk);
      await goOn();
      return { retry: answer.error };
    }
    if (answer.status === 202 || answer.status === 204) {
      await discard(answer.body);
      const next = { ...session, ...movedTo(operation, session, answer, lengthOf(session, chunk)) };
      session = next;
      if (next.offset > offset && next.offset <= chunk.size) return { done: next };
      return { retry: unavailable(what, `${answer.url.host} takes no bytes beyond ${offset}`) };
    }
    const error = await failedAnswer(what, answer);
    if (offset === 0 && [404, 405, 501].includes(answer.status)) return { done: undefined };
    if (answer.status === 413 && shrink(chunk)) {
      await goOn();
      return { done: session };
    }
    // 404 and 416: the session is gone, or elsewhere than was thought.
    if (!isRetryableStatus(answer.status) && ![404, 416].includes(answer.status)) throw error;
    await goOn();
    return { retry: error, afterMs: retryAfterMs(answer.headers, clock) };
  });
}

/** Makes pieces smaller. @returns whether they could be. */
function shrink({ sizes }: Chunk): boolean {
  if (sizes.chunk <= leastChunkBytes) return false;
  sizes.chunk = Math.max(leastChunkBytes, Math.floor(sizes.chunk / 4));
  return true;
}

function lengthOf(session: UploadSession, { sizes, size }: Chunk): number {
  return Math.min(Math.max(sizes.chunk, session.leastChunk), size - session.offset);
}

function sendFrom(operation: Operation, place: Place, session: UploadSession, chunk: Chunk) {
  const { location, offset } = session;
  const length = lengthOf(session, chunk);
  const range = { start: offset, end: offset + length - 1 };
  const headers = { 'content-range': `${range.start}-${range.end}` };
  const part = { size: length, open: () => chunk.open(range) };
  return sendBytes(operation, place, { method: 'PATCH', target: location, headers }, part);
}

/** Tells the registry that it has all; a registry that did not hear the answer's loss may have closed the session. */
async function endUpload(
  operation: Operation,
  place: Place,
  session: UploadSession,
  descriptor: Descriptor,
): Promise<void> {
  const { what, deps, options } = operation;
  const { clock, limits } = deps;
  const policy = { what, clock, limits, attempts: place.attempts, signal: options.signal };
  const target = withDigest(session.location, descriptor.digest);
  await withRetries<void>(policy, async () => {
    const headers = { 'content-length': '0' };
    const answer = await askOnce(operation, place, { method: 'PUT', target, headers, actions: 'pull,push' });
    if ('error' in answer) {
      if (!answer.retryable) throw answer.error;
      return { retry: answer.error };
    }
    if (answer.status === 201 || answer.status === 204) {
      await discard(answer.body);
      return { done: undefined };
    }
    const error = await failedAnswer(what, answer);
    if (answer.status === 404 && (await hasBlobAt(operation, place, descriptor))) return { done: undefined };
    if (!isRetryableStatus(answer.status)) throw error;
    return { retry: error, afterMs: retryAfterMs(answer.headers, clock) };
  });
}
