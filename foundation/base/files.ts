/** Small files that must never be seen half-written. */
import { randomBytes } from 'node:crypto';
import { closeSync, fsyncSync, openSync, renameSync, unlinkSync, writeSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { dirname } from 'node:path';

/** How to write. */
export interface WriteOptions {
  /** Permission bits of the new file; 0600 unless told. */
  mode?: number;
  /** Whether the content and the name must survive a power cut; true unless told. */
  durable?: boolean;
}

/**
 * Replaces the file at `path` in one step: readers see the old or the new content, whole.
 *
 * @throws the errors of open, write, fsync and rename (2), as Node has them; the old file is then intact.
 */
export function replaceFileSync(
  path: string,
  content: string | Uint8Array,
  options: WriteOptions = {},
): void {
  const temporary = `${path}.${randomBytes(4).toString('hex')}.tmp`;
  const fd = openSync(temporary, 'wx', options.mode ?? 0o600);
  try {
    const bytes = typeof content === 'string' ? Buffer.from(content) : content;
    for (let done = 0; done < bytes.length; ) done += writeSync(fd, bytes, done);
    if (options.durable !== false) fsyncSync(fd);
    closeSync(fd);
    renameSync(temporary, path);
  } catch (error) {
    closeQuietly(fd);
    unlinkQuietly(temporary);
    throw error;
  }
  if (options.durable !== false) syncDirectory(dirname(path));
}

/** Makes the entries of a directory durable (fsync(2) on the directory itself). */
export function syncDirectory(path: string): void {
  const fd = openSync(path, 'r');
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

/**
 * Reads the last `count` bytes of a file, or all of a shorter one.
 *
 * @throws ENOENT and its like, as Node has them.
 */
export async function readTail(path: string, count: number): Promise<Buffer> {
  await using file = await open(path, 'r');
  const { size } = await file.stat();
  const length = Math.min(size, count);
  const { buffer, bytesRead } = await file.read(Buffer.alloc(length), 0, length, size - length);
  return buffer.subarray(0, bytesRead);
}

function closeQuietly(fd: number): void {
  try {
    closeSync(fd);
  } catch {
    // Already closed: the failure that brought us here is the one to report.
  }
}

function unlinkQuietly(path: string): void {
  try {
    unlinkSync(path);
  } catch {
    // Never made, or already renamed.
  }
}
