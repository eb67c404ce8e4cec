/** Runs another program to its end: the one place where Skiff starts tools (CNI plugins, OCI runtimes, apt). */
import { spawn } from 'node:child_process';
import { constants } from 'node:os';
import { SkiffError } from '#foundation/base/errors.ts';

const osSignals: Record<string, number> = constants.signals;

/** What to run. */
export interface Command {
  /** Path, or a name looked up on PATH. */
  file: string;
  args?: readonly string[];
  cwd?: string;
  /** The whole environment; this process's own if left out. */
  env?: Record<string, string | undefined>;
  /** Bytes for its standard input; empty if left out. */
  input?: string | Uint8Array;
  /** Milliseconds until it is killed with SIGKILL; 60,000 unless told. */
  timeoutMs?: number;
  /** Kills it with SIGKILL when it aborts. */
  signal?: AbortSignal;
  /** Bytes of each output that are kept, the rest is dropped; 1 MiB unless told. */
  maxOutputBytes?: number;
  /** Sees standard error as it comes, line by line. */
  onErrorLine?: (line: string) => void;
}

/** How it ended. */
export interface CommandResult {
  /** Exit code; 128 + signal number if a signal ended it. */
  exitCode: number;
  stdout: Buffer;
  stderr: string;
}

/**
 * Runs a command and returns how it ended, whatever its exit code.
 *
 * @throws SkiffError NOT_FOUND if there is no such program, DEADLINE_EXCEEDED if it was killed for time,
 *   CANCELLED by the signal.
 */
export async function tryCommand(command: Command): Promise<CommandResult> {
  const { promise, resolve, reject } = Promise.withResolvers<CommandResult>();
  const name = command.file;
  if (command.signal?.aborted) throw new SkiffError('CANCELLED', `${name} was not started: cancelled`);
  const child = spawn(name, command.args ?? [], { cwd: command.cwd, env: command.env, stdio: 'pipe' });
  const limit = command.maxOutputBytes ?? 1024 * 1024;
  const stdout = collector(limit);
  const stderr = collector(limit);
  child.stdout.on('data', stdout.add);
  child.stderr.on('data', stderr.add);
  if (command.onErrorLine) forLines(child.stderr, command.onErrorLine);
  let killedBy: SkiffError | undefined;
  const kill = (error: SkiffError) => {
    killedBy = error;
    child.kill('SIGKILL');
    child.stdout.destroy();
    child.stderr.destroy();
  };
  const ms = command.timeoutMs ?? 60_000;
  const timer = setTimeout(
    () => kill(new SkiffError('DEADLINE_EXCEEDED', `${name} took longer than ${ms} ms and was killed`)),
    ms,
  );
  const cancel = () => kill(new SkiffError('CANCELLED', `${name} was cancelled`));
  command.signal?.addEventListener('abort', cancel, { once: true });
  child.stdin.on('error', () => {}); // It may end without reading its input.
  child.stdin.end(command.input ?? '');
  child.on('error', (error) =>
    reject(new SkiffError('NOT_FOUND', `Cannot run ${name}: ${error.message}`, { cause: error })),
  );
  child.on('close', (code, signal) => {
    if (killedBy) reject(killedBy);
    else
      resolve({
        exitCode: code ?? 128 + signalNumber(signal),
        stdout: stdout.bytes(),
        stderr: stderr.bytes().toString(),
      });
  });
  try {
    return await promise;
  } finally {
    clearTimeout(timer);
    command.signal?.removeEventListener('abort', cancel);
  }
}

/**
 * Runs a command that must succeed.
 *
 * @throws SkiffError INTERNAL with the tail of its standard error if it exits with another code than 0.
 */
export async function runCommand(command: Command): Promise<CommandResult> {
  const result = await tryCommand(command);
  if (result.exitCode === 0) return result;
  const said = result.stderr.trim() || result.stdout.toString().trim();
  throw new SkiffError('INTERNAL', `${command.file} exited with ${result.exitCode}: ${said.slice(-2000)}`);
}

function collector(limit: number): { add: (chunk: Buffer) => void; bytes: () => Buffer } {
  const chunks: Buffer[] = [];
  let size = 0;
  return {
    add: (chunk) => {
      const kept = chunk.subarray(0, Math.max(0, limit - size));
      size += kept.length;
      if (kept.length > 0) chunks.push(kept);
    },
    bytes: () => Buffer.concat(chunks),
  };
}

function forLines(stream: NodeJS.ReadableStream, each: (line: string) => void): void {
  let rest = '';
  stream.on('data', (chunk: Buffer) => {
    const lines = (rest + chunk.toString()).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) each(line);
  });
}

function signalNumber(signal: NodeJS.Signals | null): number {
  return signal === null ? 0 : (osSignals[signal] ?? 0);
}
