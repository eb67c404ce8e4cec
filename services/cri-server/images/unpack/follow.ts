/**
 * Reads a blob's file while it is still being downloaded. The download appends to the file and tells the
 * count of bytes through shared memory; the worker reads them from the page cache and hashes them. So the
 * file is the pipe: downloads never wait for unpacking, and what is there after a crash is resumed.
 */
import { createHash, type Hash } from 'node:crypto';
import { closeSync, openSync, readSync, writeFileSync } from 'node:fs';
import { SkiffError } from '#foundation/base/errors.ts';
import type { Scratch } from './scratch.ts';

/** Milliseconds after which a wait looks again; only a guard against a lost wake-up. */
const waitMs = 1000;

/** Slots of the shared memory of a download, 64 bits each. */
export const ControlSlot = {
  /** Bytes of the file that are there; -1 once the download has failed or was cancelled. */
  available: 0,
  /** Bytes of the file that the worker has read. */
  read: 1,
} as const;

/** Shared memory of one layer's work. */
export function createControl(): BigInt64Array<SharedArrayBuffer> {
  return new BigInt64Array(new SharedArrayBuffer(16));
}

/** Lets the worker that follows a download go no further. */
export function stopFollowing(control: BigInt64Array): void {
  Atomics.store(control, ControlSlot.available, -1n);
  Atomics.notify(control, ControlSlot.available);
}

/** @throws SkiffError CANCELLED if the download has failed, or nobody wants the layer any more. */
export function throwIfStopped(control: BigInt64Array): void {
  if (Atomics.load(control, ControlSlot.available) < 0n)
    throw new SkiffError('CANCELLED', 'the download ended early');
}

/**
 * Tells whether the worker that follows a download is starved: whether it has read all that there is, but not all
 * that there will be, and has been waiting for more since a while. To be asked again and again.
 *
 * @param size bytes of the whole blob.
 * @param patienceMs how long is a while.
 */
export function starvation(control: BigInt64Array, size: number, patienceMs: number): () => boolean {
  let seen = -1n;
  let since = 0;
  return () => {
    const read = Atomics.load(control, ControlSlot.read);
    if (read === BigInt(size) || read !== Atomics.load(control, ControlSlot.available)) {
      seen = -1n;
      return false;
    }
    if (read !== seen) [seen, since] = [read, performance.now()];
    return performance.now() - since >= patienceMs;
  };
}

/** A source of bytes. */
export interface ByteSource {
  /** The next bytes, valid until the next call; undefined at the end. */
  next(): Uint8Array | undefined;
}

/** The compressed bytes of a blob, hashed as they pass. */
export interface BlobSource extends ByteSource, Disposable {
  /** Reads what is left, and returns the digest of everything: `sha256:<hex>`. */
  finish(): string;
}

/** What to read. */
export interface BlobFile {
  path: string;
  /** Bytes of the whole blob. */
  size: number;
  /** The digest it must have; tells the algorithm. */
  digest: string;
  /** All of it, where it came in memory: then the file is only made here. */
  bytes?: Uint8Array;
  /**
   * Where the file is put once all of it was verified. Here and not on the event loop, which would wait for the folder
   * whenever another thread makes a file in it.
   */
  keepAt?: string;
}

/**
 * Opens a blob's file that may still grow to `size`; it is read through the memory of `scratch`.
 *
 * @throws SkiffError CANCELLED out of `next` when the download has failed.
 */
export function followBlob(file: BlobFile, control: BigInt64Array, scratch: Scratch): BlobSource {
  const hash = createHash(algorithmOf(file.digest));
  if (file.bytes !== undefined) return fromMemory(file, file.bytes, hash);
  const fd = openSync(file.path, 'r');
  const buffer = scratch.input();
  let position = 0;
  const next = (): Uint8Array | undefined => {
    if (position >= file.size) return undefined;
    const available = Math.min(waitFor(control, position), file.size);
    const count = readSync(fd, buffer, 0, Math.min(buffer.length, available - position), position);
    if (count === 0) throw new SkiffError('DATA_LOSS', `the file ${file.path} is shorter than it should be`);
    position += count;
    Atomics.store(control, ControlSlot.read, BigInt(position));
    const bytes = buffer.subarray(0, count);
    hash.update(bytes);
    return bytes;
  };
  return {
    next,
    finish: () => {
      while (next() !== undefined);
      return digestOf(hash, file.digest);
    },
    [Symbol.dispose]: () => closeSync(fd),
  };
}

function fromMemory(file: BlobFile, bytes: Uint8Array, hash: Hash): BlobSource {
  writeFileSync(file.path, bytes, { mode: 0o600 });
  hash.update(bytes);
  let left: Uint8Array | undefined = bytes.length > 0 ? bytes : undefined;
  return {
    next: () => {
      const all = left;
      left = undefined;
      return all;
    },
    finish: () => digestOf(hash, file.digest),
    [Symbol.dispose]: () => {},
  };
}

function waitFor(control: BigInt64Array, position: number): number {
  for (;;) {
    throwIfStopped(control);
    const available = Atomics.load(control, ControlSlot.available);
    if (available > BigInt(position)) return Number(available);
    Atomics.wait(control, ControlSlot.available, available, waitMs);
  }
}

/** The hash that a digest names. */
export function algorithmOf(digest: string): string {
  return digest.slice(0, digest.indexOf(':'));
}

function digestOf(hash: Hash, like: string): string {
  return `${algorithmOf(like)}:${hash.digest('hex')}`;
}
