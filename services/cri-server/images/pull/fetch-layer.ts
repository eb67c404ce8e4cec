/**
 * Gets one layer: downloads its blob unless it is here, and unpacks it in the same pass into a fresh
 * directory. The worker puts the blob into the store once its digest was verified.
 */
import type { Readable } from 'node:stream';
import type { Descriptor } from '#contracts/oci/image.ts';
import { messageOf, SkiffError } from '#foundation/base/errors.ts';
import type { ImageParts } from '../deps.ts';
import type { UnpackedLayer } from '../store/layers.ts';
import { type BlobFile, ControlSlot, createControl, starvation, stopFollowing } from '../unpack/follow.ts';
import { type CheckJob, isWrongDigest, type Unpacked } from '../unpack/unpack-layer.ts';
import { download, touch } from './download.ts';
import { readAll } from './read-all.ts';

/** The layer to get. */
export interface LayerRequest {
  descriptor: Descriptor;
  diffId: string;
  /** False if the layer lies unpacked already: then its blob is only fetched, if need be, and checked. */
  unpack: boolean;
  /** Opens the blob from a byte on. */
  open(offset: number, signal: AbortSignal): Promise<Readable>;
  onProgress(progress: { state?: 'downloading' | 'unpacking'; done?: number }): void;
}

/** Up to this many bytes a blob comes in memory: for so few, a file that is followed is more trouble than help. */
const smallBytes = 256 * 1024;
/** Milliseconds that an unpacking worker may wait for a download before its thread is given to others too. */
const patienceMs = 500;

/**
 * Gets a layer. The caller owns the directory that is returned.
 *
 * @throws SkiffError DATA_LOSS, INVALID_ARGUMENT, RESOURCE_EXHAUSTED as `unpackLayer` does, and what `open` throws.
 */
export function fetchLayer(
  parts: ImageParts,
  request: LayerRequest,
  signal: AbortSignal,
): Promise<UnpackedLayer | undefined> {
  const { digest, size } = request.descriptor;
  // One at a time for each blob: its partial file is one, and a cancelled fetch may still be about to end.
  return parts.locks.run(`blob ${digest}`, async () => {
    const here = parts.content.size(digest);
    if (here === size) return fromStore(parts, request, signal);
    if (here !== undefined) parts.content.remove(digest); // Cut short by something that was not Skiff.
    const isSmall = size <= smallBytes;
    const turns = isSmall ? parts.smallDownloads : parts.downloads;
    return turns.run(
      () => twice(parts, request, () => (isSmall ? smallFromRegistry : fromRegistry)(parts, request, signal)),
      signal,
    );
  });
}

/** What was left of an earlier attempt may be at fault, or a proxy's cache: once more, from the start. */
async function twice<T>(
  { logger }: ImageParts,
  { descriptor }: LayerRequest,
  fetch: () => Promise<T>,
): Promise<T> {
  try {
    return await fetch();
  } catch (error) {
    if (!isWrongDigest(error)) throw error;
    logger.warn({ digest: descriptor.digest, error: messageOf(error) }, 'fetching a damaged blob again');
    return fetch();
  }
}

async function fromStore(
  parts: ImageParts,
  request: LayerRequest,
  signal: AbortSignal,
): Promise<UnpackedLayer | undefined> {
  const { digest, size } = request.descriptor;
  const control = createControl();
  Atomics.store(control, ControlSlot.available, BigInt(size));
  request.onProgress({ state: 'unpacking', done: size });
  return work(parts, request, { path: parts.content.path(digest), digest, size }, control, signal);
}

/** The whole blob first, then the worker: which so never waits, and needs no file to follow. */
async function smallFromRegistry(
  parts: ImageParts,
  request: LayerRequest,
  signal: AbortSignal,
): Promise<UnpackedLayer | undefined> {
  const { digest, size } = request.descriptor;
  request.onProgress({ state: 'downloading' });
  const bytes = await readAll(await request.open(0, signal), size);
  request.onProgress({ state: 'unpacking', done: size });
  const path = parts.content.partialPath(digest);
  try {
    const keepAt = parts.content.path(digest);
    return await work(parts, request, { path, digest, size, bytes, keepAt }, createControl(), signal);
  } catch (error) {
    parts.content.removePartial(digest);
    throw error;
  }
}

/** Download and unpacking side by side: the worker follows the file as it grows. */
async function fromRegistry(
  parts: ImageParts,
  request: LayerRequest,
  signal: AbortSignal,
): Promise<UnpackedLayer | undefined> {
  const { digest, size } = request.descriptor;
  const path = parts.content.partialPath(digest);
  const control = createControl();
  const stop = new AbortController();
  const stopped = AbortSignal.any([signal, stop.signal]);
  await touch(path);
  request.onProgress({ state: 'downloading' });
  const begun = Promise.withResolvers<void>();
  const downloading = download({
    path,
    size,
    control,
    open: (offset) => request.open(offset, stopped),
    onProgress: (done) => {
      begun.resolve();
      request.onProgress(done < size ? { done } : { done, state: 'unpacking' });
    },
  }).finally(() => begun.resolve());
  // A worker that has nothing to read yet would only keep others waiting.
  const blob = { path, digest, size, keepAt: parts.content.path(digest) };
  const working = begun.promise.then(() => work(parts, request, blob, control, signal));
  working.catch((error) => stop.abort(error));
  const [downloaded, worked] = await Promise.allSettled([downloading, working]);
  if (worked.status === 'fulfilled') return worked.value; // All of it came and was verified.
  signal.throwIfAborted();
  if (!isCancelled(worked.reason)) {
    parts.content.removePartial(digest);
    throw worked.reason;
  }
  throw downloaded.status === 'rejected' ? downloaded.reason : worked.reason;
}

function isCancelled(error: unknown): boolean {
  return error instanceof SkiffError && error.code === 'CANCELLED';
}

/** Lets a worker unpack the blob, or only check it; it stops soon after the signal aborts. */
async function work(
  parts: ImageParts,
  request: LayerRequest,
  blob: BlobFile,
  control: BigInt64Array,
  signal: AbortSignal,
): Promise<UnpackedLayer | undefined> {
  const stop = () => stopFollowing(control);
  signal.addEventListener('abort', stop, { once: true });
  if (signal.aborted) stop();
  try {
    return await inWorker(parts, request, { blob, diffId: request.diffId, control, limits: parts.limits });
  } finally {
    signal.removeEventListener('abort', stop);
  }
}

async function inWorker(
  parts: ImageParts,
  { unpack, diffId }: LayerRequest,
  common: CheckJob,
): Promise<UnpackedLayer | undefined> {
  const { blob, control } = common;
  const hints =
    blob.bytes === undefined ? { isStarved: starvation(control, blob.size, patienceMs) } : { brief: true };
  if (!unpack) {
    await parts.pool.run('check', common, hints);
    return undefined;
  }
  const target = parts.layers.freshPath();
  try {
    const result: Unpacked = await parts.pool.run('unpack', { ...common, target }, hints);
    return { diffId, path: target, result, taken: false };
  } catch (error) {
    await discard(parts, target);
    throw error;
  }
}

/** Takes an unpacked layer's directory. @returns false if another has it already. */
export function take(unpacked: UnpackedLayer): boolean {
  if (unpacked.taken) return false;
  unpacked.taken = true;
  return true;
}

/** Removes a directory that nobody needs; a failure is told, since start-up removes it too. */
export async function discard(parts: Pick<ImageParts, 'pool' | 'logger'>, path: string): Promise<void> {
  try {
    await parts.pool.run('remove', path);
  } catch (error) {
    parts.logger.warn({ path, error: messageOf(error) }, 'cannot remove a directory that nobody needs');
  }
}
