/** Unpacks one layer from its (perhaps still growing) blob: one streaming pass hashes, inflates and extracts. */
import { chmodSync, mkdirSync, renameSync, statfsSync } from 'node:fs';
import { dirname } from 'node:path';
import { isSkiffError, messageOf, SkiffError } from '#foundation/base/errors.ts';
import { openRoot } from '#foundation/linux/at.ts';
import { decompress } from './decompress.ts';
import { type Extracted, extract } from './extract.ts';
import { algorithmOf, type BlobFile, type BlobSource, followBlob, throwIfStopped } from './follow.ts';
import type { Scratch } from './scratch.ts';
import { tarReader } from './tar-reader.ts';
import { tarStream, type UnpackLimits } from './tar-stream.ts';

/** What to unpack where. */
export interface UnpackJob {
  blob: BlobFile;
  /** The digest that the uncompressed layer must have. */
  diffId: string;
  /** The directory to make and fill. */
  target: string;
  control: BigInt64Array;
  limits: UnpackLimits;
}

/** What was unpacked. */
export interface Unpacked extends Extracted {
  /** Bytes of the uncompressed layer. */
  bytes: number;
}

/** Free space is looked at each time that this many more bytes were unpacked. */
const spaceCheckBytes = 64 * 1024 * 1024;

/**
 * Does the job. The target is left for the caller to remove when it throws.
 *
 * @throws SkiffError DATA_LOSS if a digest is wrong or the archive damaged, INVALID_ARGUMENT for an entry that must
 *   not be unpacked, RESOURCE_EXHAUSTED beyond the limits or out of space, CANCELLED with the download.
 */
export function unpackLayer(job: UnpackJob, scratch: Scratch): Unpacked {
  using blob = followBlob(job.blob, job.control, scratch);
  return verified(job, blob, () => unpackFrom(job, blob, scratch));
}

/** A blob to check. */
export type CheckJob = Omit<UnpackJob, 'target'>;

/**
 * Reads a blob to its end and checks both digests, unpacking nothing: for a blob whose layer lies unpacked already.
 *
 * @throws SkiffError as `unpackLayer` does.
 */
export function checkLayer(job: CheckJob, scratch: Scratch): void {
  using blob = followBlob(job.blob, job.control, scratch);
  verified(job, blob, () => {
    using layer = decompress(blob, scratch);
    const stream = tarStream(
      layer,
      algorithmOf(job.diffId),
      bound({ ...job, target: dirname(job.blob.path) }),
    );
    checkDiffId(job, stream.finish());
  });
}

/** Keeps the blob if all is well. A wrong digest of it explains whatever else went wrong, so it is what gets reported. */
function verified<T>(job: CheckJob, blob: BlobSource, work: () => T): T {
  let outcome: { value: T } | { error: unknown };
  try {
    outcome = { value: work() };
  } catch (error) {
    if (!isSkiffError(error, 'DATA_LOSS', 'INVALID_ARGUMENT')) throw error;
    outcome = { error };
  }
  const digest = blob.finish();
  if (digest !== job.blob.digest) throw wrongDigest(job.blob.digest, digest);
  if ('error' in outcome) throw outcome.error;
  if (job.blob.keepAt !== undefined) renameSync(job.blob.path, job.blob.keepAt);
  return outcome.value;
}

/** The message begins so that callers can tell a bad transfer from a bad image. */
const wrongDigestPrefix = 'the blob is not what its digest says';

function wrongDigest(wanted: string, got: string): SkiffError {
  return new SkiffError('DATA_LOSS', `${wrongDigestPrefix}: ${wanted} was asked for, ${got} arrived`);
}

function unpackFrom(job: UnpackJob, blob: BlobSource, scratch: Scratch): Unpacked {
  mkdirSync(job.target);
  chmodSync(job.target, 0o755); // Whatever the umask is.
  using root = openRoot(job.target);
  using layer = decompress(blob, scratch);
  const stream = tarStream(layer, algorithmOf(job.diffId), bound(job));
  const extracted = extract(tarReader(stream), root.fd, job.limits.maxEntries);
  checkDiffId(job, stream.finish());
  return { ...extracted, bytes: stream.total };
}

function checkDiffId(job: CheckJob, diffId: string): void {
  if (diffId === job.diffId) return;
  throw new SkiffError(
    'DATA_LOSS',
    `the uncompressed layer is not what the image's config says: ${job.diffId} was asked for, it has ${diffId}`,
  );
}

function bound({ limits, blob, target, control }: UnpackJob): (total: number) => void {
  const most = Math.min(limits.maxBytes, Math.max(limits.ratioFloor, blob.size * limits.maxRatio));
  const check = boundBytes(most, target, limits);
  return (total) => {
    throwIfStopped(control);
    check(total);
  };
}

/**
 * Refuses more than `most` bytes, and to fill the disk of `target`.
 *
 * @returns to be called with the bytes so far; throws SkiffError RESOURCE_EXHAUSTED.
 */
export function boundBytes(most: number, target: string, limits: UnpackLimits): (total: number) => void {
  let nextCheck = spaceCheckBytes;
  return (total) => {
    if (total > most) throw tooLarge(`it unpacks to more than ${mebibytes(most)}`);
    if (total < nextCheck) return;
    nextCheck = total + spaceCheckBytes;
    checkSpace(target, limits.minFreeBytes);
  };
}

function checkSpace(path: string, least: number): void {
  const { bavail, bsize } = statfsSync(path);
  if (bavail * bsize < least)
    throw tooLarge(
      `less than ${mebibytes(least)} are left on the disk of ${path}; free some, or prune images`,
    );
}

function mebibytes(bytes: number): string {
  return `${Math.floor(bytes / 2 ** 20)} MiB`;
}

function tooLarge(why: string): SkiffError {
  return new SkiffError('RESOURCE_EXHAUSTED', why);
}

/** Whether an error says that the blob itself is damaged, so that fetching it again may help. */
export function isWrongDigest(error: unknown): boolean {
  return isSkiffError(error, 'DATA_LOSS') && messageOf(error).includes(wrongDigestPrefix);
}
