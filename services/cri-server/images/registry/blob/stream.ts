/**
 * A blob as one stream, whatever happens to the connections that bring it. A transfer that breaks, stalls or
 * ends early is taken up again where it ended; the stream gives exactly the bytes from its offset to the
 * blob's size, or fails. The consumer's pace is passed on to the connection.
 */
import { Readable } from 'node:stream';
import { isSkiffError, type SkiffError } from '#foundation/base/errors.ts';
import type { Clock } from '#foundation/base/time.ts';
import { aborted, corrupt, unavailable } from '../errors.ts';
import { breakReason } from '../http/body.ts';
import { backoffMs, pause } from '../http/retry.ts';
import type { Limits } from '../types.ts';
import type { BlobSource } from './source.ts';
import { type StallWatch, watchStalls } from './stall.ts';

/** What the stream is made from. */
export interface BlobStreamDeps {
  what: string;
  /** The blob's size in bytes. */
  size: number;
  /** Opens a transfer from a byte on. */
  open(offset: number): Promise<BlobSource>;
  limits: Limits;
  clock: Clock;
  signal?: AbortSignal;
  onProgress?: (bytes: number) => void;
}

/** A transfer that brought this much was not in vain: the count of failures starts again. */
const worthwhileBytes = 64 * 1024;
/** Bytes that are read ahead of the consumer. */
const readAhead = 1024 * 1024;

/** Makes the stream; `first` is a transfer from `offset` that is open already. */
export function blobStream(deps: BlobStreamDeps, offset: number, first: BlobSource | undefined): Readable {
  let position = offset;
  let failures = 0;
  let current: Transfer | undefined;
  const closed = new AbortController();
  const signal = deps.signal ? AbortSignal.any([deps.signal, closed.signal]) : closed.signal;

  const take = (source: BlobSource) => {
    const start = position;
    current = startTransfer(deps, source, deps.size - position, {
      bytes(chunk) {
        position += chunk.length;
        return stream.push(chunk);
      },
      ended(ending) {
        current = undefined;
        if (stream.destroyed) return;
        if (position === deps.size) {
          stream.push(null);
          return;
        }
        if (position - start >= worthwhileBytes) failures = 0;
        reopen(source.from, ending).catch((error: Error) => stream.destroy(error));
      },
      failed: (error) => stream.destroy(error),
    });
  };

  const reopen = async (from: string, ending: Ending) => {
    for (;;) {
      failures += 1;
      if (failures >= deps.limits.attempts) throw givenUp(deps, position, from, ending);
      await pause({ ...deps, signal }, backoffMs(deps.limits, failures));
      try {
        take(await deps.open(position));
        return;
      } catch (error) {
        // The opening has its own retries; only an unreachable registry is worth more of them.
        if (!isSkiffError(error, 'UNKNOWN')) throw error;
      }
    }
  };

  const onAbort = () => deps.signal && stream.destroy(aborted(deps.what, deps.signal));
  const stream = new Readable({
    highWaterMark: readAhead,
    read: () => current?.resume(),
    destroy(error, done) {
      deps.signal?.removeEventListener('abort', onAbort);
      closed.abort();
      current?.stop();
      done(error);
    },
  });
  // A failure before the consumer listens must not end the process; whoever reads later is told it then.
  stream.on('error', () => {});
  deps.signal?.addEventListener('abort', onAbort, { once: true });
  if (first !== undefined) take(first);
  else stream.push(null);
  return stream;
}

/** One connection's share of a blob. */
interface Transfer {
  resume(): void;
  stop(): void;
}

/** How a transfer ended. */
interface Ending {
  why: string;
  /** Whether the server said that this was all. */
  complete: boolean;
  cause?: unknown;
}

interface TransferEvents {
  /** Bytes of the blob, in order. @returns whether more are wanted now. */
  bytes(chunk: Buffer): boolean;
  /** There will be no more, whether or not all were sent. Called once, unless `failed` is. */
  ended(ending: Ending): void;
  /** The server sends more than the blob has. */
  failed(error: SkiffError): void;
}

function startTransfer(
  deps: BlobStreamDeps,
  { body, skip, from }: BlobSource,
  wanted: number,
  events: TransferEvents,
): Transfer {
  let toSkip = skip;
  let left = wanted;
  let over = false;
  let watch: StallWatch | undefined;
  const finish = (report: () => void) => {
    if (over) return;
    over = true;
    watch?.stop();
    body.destroy();
    report();
  };
  body.on('data', (chunk: Buffer) => {
    watch?.add(chunk.length);
    deps.onProgress?.(chunk.length);
    const skipped = Math.min(toSkip, chunk.length);
    toSkip -= skipped;
    const bytes = skipped === 0 ? chunk : chunk.subarray(skipped);
    if (bytes.length === 0 || over) return;
    if (bytes.length > left) return finish(() => events.failed(tooMuch(deps, from)));
    left -= bytes.length;
    if (events.bytes(bytes) || over) return;
    body.pause();
    watch?.pause();
  });
  const end = (ending: Ending) => finish(() => events.ended(ending));
  body.on('end', () => end({ why: 'ended the transfer early', complete: true }));
  body.on('error', (cause) => end({ why: breakReason(cause), complete: false, cause }));
  body.on('close', () => end({ why: 'closed the connection', complete: false }));
  watch = watchStalls(deps.limits, deps.clock, (why) => end({ why, complete: false }));
  return {
    resume() {
      watch?.resume();
      body.resume();
    },
    stop: () => finish(() => {}),
  };
}

function tooMuch({ what, size }: BlobStreamDeps, from: string): SkiffError {
  return corrupt(what, `${from} sends more than the ${size} bytes that the manifest says`);
}

function givenUp(
  { what, size, limits }: BlobStreamDeps,
  position: number,
  from: string,
  { why, complete, cause }: Ending,
): SkiffError {
  const told = `${from} ${why}, after ${position} of ${size} bytes and ${limits.attempts} attempts without progress`;
  return complete ? corrupt(what, told) : unavailable(what, told, cause);
}
