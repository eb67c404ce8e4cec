/** Runs a program to its end through a `Spawner`, and collects what it writes. */
import { closeSync } from 'node:fs';
import { SkiffError } from '#foundation/base/errors.ts';
import { identify, killProcessTree } from './process.ts';
import { openPipe, pipeStream, type Spawner } from './spawn.ts';

/** What to run. */
export interface SpawnedCommand {
  file: string;
  args: readonly string[];
  env: Readonly<Record<string, string>>;
  /** Milliseconds until it and its children are killed. */
  timeoutMs: number;
  signal?: AbortSignal;
  /** Bytes of each output that are kept; 1 MiB unless told. */
  maxOutputBytes?: number;
}

/** How it ended. */
export interface SpawnedResult {
  exitCode: number;
  stdout: string;
  stderr: string;
}

/**
 * Runs a command and returns how it ended, whatever its exit code.
 *
 * @throws SkiffError NOT_FOUND if there is no such program, DEADLINE_EXCEEDED if it was killed for time,
 *   CANCELLED by the signal.
 */
export async function runSpawned(spawner: Spawner, command: SpawnedCommand): Promise<SpawnedResult> {
  if (command.signal?.aborted)
    throw new SkiffError('CANCELLED', `${command.file} was not started: cancelled`);
  const limit = command.maxOutputBytes ?? 1024 * 1024;
  const [stdout, stderr] = [outputPipe(limit), outputPipe(limit)];
  let failure: SkiffError | undefined;
  try {
    const child = startWith(spawner, command, stdout.writeFd, stderr.writeFd);
    const identity = identify(child.pid);
    const end = (error: SkiffError) => {
      failure = error;
      if (identity !== undefined) killProcessTree(identity);
    };
    const text = `${command.file} took longer than ${command.timeoutMs} ms and was killed`;
    const timer = setTimeout(() => end(new SkiffError('DEADLINE_EXCEEDED', text)), command.timeoutMs);
    const cancel = () => end(new SkiffError('CANCELLED', `${command.file} was cancelled`));
    command.signal?.addEventListener('abort', cancel, { once: true });
    const { code } = await child.exited.finally(() => {
      clearTimeout(timer);
      command.signal?.removeEventListener('abort', cancel);
    });
    if (failure !== undefined) throw failure;
    // A grandchild may hold the pipes open for ever; what the program itself wrote is there at once.
    const [out, errors] = await Promise.all([stdout.untilIdle(), stderr.untilIdle()]);
    return { exitCode: code, stdout: out.toString(), stderr: errors.toString() };
  } finally {
    stdout.close();
    stderr.close();
  }
}

function startWith(spawner: Spawner, command: SpawnedCommand, out: number, errors: number) {
  try {
    return spawner.spawn({
      file: command.file,
      args: command.args,
      env: command.env,
      fds: { 1: out, 2: errors },
    });
  } finally {
    closeSync(out);
    closeSync(errors);
  }
}

/** A pipe that a child writes to and that is read here into memory. */
export interface OutputPipe {
  /** The end for the child; the caller closes it after the spawn. */
  readonly writeFd: number;
  /** Everything up to the end of file, cut at the limit. */
  readonly complete: Promise<Buffer>;
  /** What came until end of file, or until nothing came for `ms` milliseconds (100 unless told). */
  untilIdle(ms?: number): Promise<Buffer>;
  close(): void;
}

/** Makes an output pipe. @param limit bytes that are kept; the rest is read and dropped. */
export function outputPipe(limit: number): OutputPipe {
  const { read, write } = openPipe();
  const stream = pipeStream(read, 'read');
  const chunks: Buffer[] = [];
  let size = 0;
  let lastAt = performance.now();
  let ended = false;
  const { promise, resolve } = Promise.withResolvers<Buffer>();
  const finish = () => {
    ended = true;
    resolve(Buffer.concat(chunks));
  };
  stream.on('data', (chunk: Buffer) => {
    lastAt = performance.now();
    const kept = chunk.subarray(0, Math.max(0, limit - size));
    size += kept.length;
    if (kept.length > 0) chunks.push(kept);
  });
  stream.once('end', finish);
  stream.once('close', finish);
  stream.on('error', finish);
  return {
    writeFd: write,
    complete: promise,
    async untilIdle(ms = 100) {
      // From now: what a silent program wrote last may be in the pipe and not have been read yet.
      lastAt = performance.now();
      while (!ended) {
        const left = lastAt + ms - performance.now();
        if (left <= 0) break;
        await Promise.race([promise, new Promise((wake) => setTimeout(wake, left))]);
      }
      return Buffer.concat(chunks);
    },
    close: () => stream.destroy(),
  };
}

/**
 * Reads what a process that may live long writes, so that it never waits, without keeping this process alive.
 *
 * @param limit characters that are kept, of the end.
 * @returns tells what is kept.
 */
export function lastWords(fd: number, limit: number): () => string {
  let text = '';
  const stream = pipeStream(fd, 'read');
  stream.on('data', (chunk: Buffer) => {
    text = (text + chunk.toString('latin1')).slice(-limit);
  });
  stream.on('error', () => {});
  stream.unref();
  return () => text.trim();
}
