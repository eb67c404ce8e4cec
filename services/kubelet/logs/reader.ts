/**
 * Reads a container's log: the last lines or those since a time, and, when following, what comes, across rotations,
 * until the container has ended and everything is read.
 */
import { watch } from 'node:fs';
import { type FileHandle, open, stat } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import { errnoOf } from '#foundation/base/errors.ts';
import type { Clock } from '#foundation/base/time.ts';
import { parseLogLine, timeOf } from './cri-line.ts';
import { tailOffset } from './tail.ts';

/** What to read (core/v1 PodLogOptions). */
export interface LogOptions {
  follow?: boolean;
  timestamps?: boolean;
  /** Lines from the end; all if left out. */
  tailLines?: number;
  /** Milliseconds since the epoch; earlier lines are left out. */
  since?: number;
  /** Bytes after which the reading ends. */
  limitBytes?: number;
  /** Only this stream. */
  stream?: 'stdout' | 'stderr';
}

/** What the reader is given. */
export interface LogReaderDeps {
  clock: Clock;
  /** Whether more may come: the container runs. Asked at the end of the file. */
  running: () => Promise<boolean>;
}

const blockSize = 64 * 1024;
/** Longest wait for a change notice, for file systems that send none. */
const pollMs = 1000;

/**
 * Yields the log's bytes as a client sees them.
 *
 * @throws ENOENT if there is no such file; the signal ends it without an error.
 */
export async function* readLog(
  path: string,
  options: LogOptions,
  deps: LogReaderDeps,
  signal: AbortSignal,
): AsyncGenerator<Buffer> {
  const format = formatter(options);
  let file = await open(path, 'r');
  try {
    let position = options.tailLines === undefined ? 0 : await tailOffset(file, options.tailLines);
    let rest = Buffer.alloc(0);
    let ended = options.follow !== true;
    while (!signal.aborted) {
      const { bytesRead, buffer } = await file.read(Buffer.alloc(blockSize), 0, blockSize, position);
      position += bytesRead;
      const chunk = Buffer.concat([rest, buffer.subarray(0, bytesRead)]);
      const complete = chunk.lastIndexOf(0x0a) + 1;
      rest = Buffer.from(chunk.subarray(complete));
      const output = format(chunk.subarray(0, complete));
      if (output.length > 0) yield output;
      if (format.full()) return;
      if (bytesRead > 0) continue;
      const next = await reopened(path, file, position);
      if (next !== undefined) {
        await file.close();
        file = next;
        position = 0;
        rest = Buffer.alloc(0);
      } else if (ended) return;
      // The last lines may be written between the check and the end: one more round after it.
      else if (!(await deps.running())) ended = true;
      else await changed(path, deps.clock, signal);
    }
  } finally {
    await file.close();
  }
}

/** Turns whole entries into what the client sees; counts against the limit. */
function formatter(options: LogOptions): ((entries: Buffer) => Buffer) & { full: () => boolean } {
  let left = options.limitBytes ?? Number.POSITIVE_INFINITY;
  const midLine = { stdout: false, stderr: false };
  const format = (entries: Buffer): Buffer => {
    const parts: Buffer[] = [];
    for (let start = 0; start < entries.length && left > 0; ) {
      const end = entries.indexOf(0x0a, start);
      const line = parseLogLine(entries.subarray(start, end));
      start = end + 1;
      if (line === undefined) continue;
      const continues = midLine[line.stream];
      midLine[line.stream] = line.partial;
      if (options.stream !== undefined && line.stream !== options.stream) continue;
      if (options.since !== undefined && timeOf(line.timestamp) < options.since) continue;
      const prefix = options.timestamps === true && !continues ? `${line.timestamp} ` : '';
      const piece = Buffer.concat([Buffer.from(prefix), line.content]).subarray(0, left);
      left -= piece.length;
      parts.push(piece);
    }
    return Buffer.concat(parts);
  };
  return Object.assign(format, { full: () => left <= 0 });
}

/** The file that stands at `path` now, if it is another than the one being read (rotation), or was cut. */
async function reopened(path: string, file: FileHandle, position: number): Promise<FileHandle | undefined> {
  try {
    const [current, held] = await Promise.all([stat(path), file.stat()]);
    const same = current.ino === held.ino && current.dev === held.dev && current.size >= position;
    return same ? undefined : await open(path, 'r');
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return undefined; // Between the rename and the new file.
    throw error;
  }
}

/** Waits until something happens to the file, at most a second. */
async function changed(path: string, clock: Clock, signal: AbortSignal): Promise<void> {
  const waiting = new AbortController();
  const wake = () => waiting.abort();
  const watcher = watch(dirname(path), (_event, name) => {
    if (name === basename(path)) wake();
  });
  watcher.on('error', wake);
  try {
    await clock.sleep(pollMs, AbortSignal.any([signal, waiting.signal])).catch(() => {});
  } finally {
    watcher.close();
  }
}
