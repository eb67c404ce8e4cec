/** Runs the command line as a person would: the launcher, in a process of its own, under a root of the test's own. */
import { execFile, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { unmountTree } from '#foundation/linux/mount.ts';
import { leakCheck } from '../leaks.ts';

/** The launcher of this checkout. */
export const launcher = fileURLToPath(new URL('../../skiff', import.meta.url));

/** How a command ended. */
export interface Ended {
  code: number;
  stdout: string;
  stderr: string;
}

/** A root of its own, with the command line for it. */
export interface TestRoot {
  readonly path: string;
  /** Runs `skiff --root PATH ARGS` to its end, at most `timeoutMs` (120,000) milliseconds. */
  skiff(args: readonly string[], timeoutMs?: number): Promise<Ended>;
  /** Starts it and leaves it running. */
  start(args: readonly string[]): ReturnType<typeof spawn>;
  /** Ends what runs here, removes the root, and fails if anything is left on the machine. */
  dispose(): Promise<void>;
}

/** Makes a root below /tmp; short, since socket paths are. */
export function testRoot(): TestRoot {
  const path = mkdtempSync('/tmp/skiff-p-');
  const leaks = leakCheck(path);
  const withRoot = (args: readonly string[]) => ['--root', path, ...args];
  return {
    path,
    skiff: (args, timeoutMs) => runLauncher(withRoot(args), timeoutMs),
    start: (args) => spawn(launcher, withRoot(args), { stdio: 'pipe' }),
    async dispose() {
      const ended = await runLauncher(withRoot(['down', '--grace', '0']));
      try {
        await leaks.assertClean(10_000);
      } catch (error) {
        throw new Error(`${(error as Error).message}\n\`skiff down\` said: ${ended.stderr}`);
      } finally {
        unmountTree(path);
        rmSync(path, { recursive: true, force: true });
      }
    },
  };
}

/** Runs the launcher with arguments as they are. */
export function runLauncher(args: readonly string[], timeoutMs = 120_000): Promise<Ended> {
  return new Promise((resolve) => {
    const options = { timeout: timeoutMs, killSignal: 'SIGKILL' as const, maxBuffer: 64 * 1024 * 1024 };
    execFile(launcher, args, options, (error, stdout, stderr) => {
      const code = error === null ? 0 : typeof error.code === 'number' ? error.code : 128;
      resolve({ code, stdout, stderr });
    });
  });
}

/** Looks until `look` gives something, at most `ms` milliseconds. @throws with the last failure when it never does. */
export async function eventually<T>(
  what: string,
  look: () => Promise<T | undefined>,
  ms = 30_000,
): Promise<T> {
  const end = performance.now() + ms;
  let last: unknown;
  for (;;) {
    try {
      const found = await look();
      if (found !== undefined) return found;
    } catch (error) {
      last = error;
    }
    if (performance.now() > end) throw new Error(`not within ${ms} ms: ${what}`, { cause: last });
    await sleep(50);
  }
}
