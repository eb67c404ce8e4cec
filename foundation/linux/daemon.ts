/** Starts a program that outlives this one. */
import { spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { SkiffError } from '#foundation/base/errors.ts';

/** What to start. */
export interface Daemon {
  file: string;
  args: readonly string[];
  /** Appended to; gets both outputs. */
  logFile: string;
  env?: Record<string, string | undefined>;
}

/** A started daemon. */
export interface StartedDaemon {
  pid: number;
  /** Resolves with its exit code when it ends while this process still runs. */
  ended: Promise<number>;
}

/**
 * Starts a daemon in a session of its own (setsid(2)), without a terminal or standard input.
 *
 * @throws SkiffError NOT_FOUND if there is no such program.
 */
export async function startDaemon({ file, args, logFile, env }: Daemon): Promise<StartedDaemon> {
  const log = openSync(logFile, 'a', 0o640);
  try {
    const child = spawn(file, args, { detached: true, stdio: ['ignore', log, log], env, cwd: '/' });
    const ended = new Promise<number>((resolve) => child.once('exit', (code) => resolve(code ?? 128)));
    await new Promise<void>((resolve, reject) => {
      child.once('spawn', resolve);
      child.once('error', (error) =>
        reject(new SkiffError('NOT_FOUND', `Cannot start ${file}: ${error.message}`, { cause: error })),
      );
    });
    child.unref();
    return { pid: child.pid ?? 0, ended };
  } finally {
    closeSync(log);
  }
}

/** A program that shares this process's standard streams. */
export interface Inheriting {
  pid: number;
  /** Waits for its end. Who does not may end before it. */
  ended(): Promise<{ code: number; signal: NodeJS.Signals | null }>;
}

/**
 * Starts a program that gets this process's own standard streams and outlives it; in a session of its own unless told.
 *
 * @throws SkiffError NOT_FOUND if it cannot be started.
 */
export function startInheriting(
  file: string,
  args: readonly string[],
  { env, session = true }: { env: Record<string, string>; session?: boolean },
): Inheriting {
  const child = spawn(file, args, { detached: session, stdio: 'inherit', env, cwd: '/' });
  const ended = new Promise<{ code: number; signal: NodeJS.Signals | null }>((resolve) =>
    child.once('exit', (code, signal) => resolve({ code: code ?? 128, signal })),
  );
  child.on('error', () => {}); // Told below: a program that cannot be started has no number.
  if (child.pid === undefined) throw new SkiffError('NOT_FOUND', `Cannot start ${file}`);
  child.unref();
  return {
    pid: child.pid,
    ended: () => {
      child.ref();
      return ended;
    },
  };
}
