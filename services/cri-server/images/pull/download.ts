/** Downloads a blob into its partial file, going on where an earlier attempt ended, and tells how far it is. */
import { type FileHandle, open, writeFile } from 'node:fs/promises';
import type { Readable } from 'node:stream';
import { ControlSlot } from '../unpack/follow.ts';

/** A download to do. */
export interface Download {
  /** The partial file; made if absent. */
  path: string;
  /** Bytes of the whole blob. */
  size: number;
  control: BigInt64Array;
  /** Opens the blob from a byte on. */
  open(offset: number): Promise<Readable>;
  onProgress(done: number): void;
}

/** Bytes that are gathered before they are written: few writes, little memory. */
const writeBytes = 512 * 1024;

/**
 * Does it. Each write is announced to the worker that follows the file; so is a failure.
 *
 * @throws what `open` and the stream throw, and the errors of write(2).
 */
export async function download(job: Download): Promise<void> {
  try {
    await using file = await open(job.path, 'a', 0o600);
    // More than the blob has can only be another's leftover.
    if ((await file.stat()).size > job.size) await file.truncate(0);
    const have = (await file.stat()).size;
    announce(job, have);
    if (have < job.size) await copy(job, file, have);
  } catch (error) {
    announce(job, -1);
    throw error;
  }
}

/** Makes the partial file, so that a worker can open it before the download has begun. */
export function touch(path: string): Promise<void> {
  return writeFile(path, '', { flag: 'a', mode: 0o600 });
}

async function copy(job: Download, file: FileHandle, have: number): Promise<void> {
  const stream = await job.open(have);
  let done = have;
  let pending: Buffer[] = [];
  let pendingBytes = 0;
  const flush = async () => {
    const chunks = pending;
    pending = [];
    pendingBytes = 0;
    for (let left = chunks; left.length > 0; ) {
      const { bytesWritten } = await file.writev(left);
      done += bytesWritten;
      left = without(left, bytesWritten);
    }
    announce(job, done);
    job.onProgress(done);
  };
  try {
    for await (const chunk of stream as AsyncIterable<Buffer>) {
      pending.push(chunk);
      pendingBytes += chunk.length;
      if (pendingBytes >= writeBytes || done + pendingBytes >= job.size) await flush();
    }
  } finally {
    stream.destroy();
    // What came before a failure need not come again.
    if (pendingBytes > 0) await flush();
  }
}

/** The chunks that are left after the first `bytes` were written. */
function without(chunks: Buffer[], bytes: number): Buffer[] {
  let left = bytes;
  for (let at = 0; at < chunks.length; at += 1) {
    const chunk = chunks[at];
    if (chunk === undefined) break;
    if (left < chunk.length) return [chunk.subarray(left), ...chunks.slice(at + 1)];
    left -= chunk.length;
  }
  return [];
}

function announce({ control }: Download, available: number): void {
  Atomics.store(control, ControlSlot.available, BigInt(available));
  Atomics.notify(control, ControlSlot.available);
}
