/** Cuts a layer's uncompressed bytes into blocks and stretches, and hashes and bounds them as they pass. */
import { createHash } from 'node:crypto';
import { SkiffError } from '#foundation/base/errors.ts';
import type { ByteSource } from './follow.ts';

/** How much a layer may unpack to. */
export interface UnpackLimits {
  /** Uncompressed bytes of one layer. */
  maxBytes: number;
  /** Uncompressed bytes for each compressed one; counts only above `ratioFloor` bytes. */
  maxRatio: number;
  ratioFloor: number;
  /** Entries of one layer. */
  maxEntries: number;
  /** Bytes that must stay free on the disk. */
  minFreeBytes: number;
}

/** Bounds that real images are far from: the largest known ones are about 60 GB, with 1.5 million files. */
export const defaultLimits: UnpackLimits = {
  maxBytes: 128 * 1024 ** 3,
  maxRatio: 200,
  ratioFloor: 4 * 1024 ** 3,
  maxEntries: 5_000_000,
  minFreeBytes: 256 * 1024 ** 2,
};

/** A reader of exact counts of bytes. */
export interface TarStream {
  /** Exactly `count` bytes, valid until the next call. @throws SkiffError DATA_LOSS if there are fewer. */
  exactly(count: number): Buffer;
  /** Exactly `count` bytes, or undefined if the stream ends before the first. */
  exactlyOrEnd(count: number): Buffer | undefined;
  /** At least one and at most `max` bytes, valid until the next call. @throws SkiffError DATA_LOSS at the end. */
  some(max: number): Buffer;
  skip(count: number): void;
  /** Reads to the end, and returns the digest of all bytes: the diff id. */
  finish(): string;
  /** Bytes seen so far. */
  readonly total: number;
}

/**
 * @param source the uncompressed layer.
 * @param algorithm of the diff id: `sha256`.
 * @param onBytes is told the total after each chunk; may throw to refuse more.
 */
export function tarStream(
  source: ByteSource,
  algorithm: string,
  onBytes: (total: number) => void,
): TarStream {
  const hash = createHash(algorithm);
  let chunk: Buffer = Buffer.alloc(0);
  let at = 0;
  let total = 0;
  const fill = (): boolean => {
    const next = source.next();
    if (next === undefined) return false;
    hash.update(next);
    total += next.length;
    onBytes(total);
    chunk = Buffer.from(next.buffer, next.byteOffset, next.byteLength);
    at = 0;
    return true;
  };
  const some = (max: number): Buffer => {
    if (at >= chunk.length && !fill()) throw ended();
    const bytes = chunk.subarray(at, Math.min(at + max, chunk.length));
    at += bytes.length;
    return bytes;
  };
  const exactly = (count: number): Buffer => {
    if (chunk.length - at >= count) return some(count);
    const whole = Buffer.allocUnsafe(count);
    for (let done = 0; done < count; ) done += some(count - done).copy(whole, done);
    return whole;
  };
  return {
    some,
    exactly,
    exactlyOrEnd: (count) => (at >= chunk.length && !fill() ? undefined : exactly(count)),
    skip: (count) => {
      for (let left = count; left > 0; ) left -= some(left).length;
    },
    finish: () => {
      while (fill());
      return `${algorithm}:${hash.digest('hex')}`;
    },
    get total() {
      return total;
    },
  };
}

function ended(): SkiffError {
  return new SkiffError('DATA_LOSS', 'the tar archive is damaged: it ends in the middle of an entry');
}
