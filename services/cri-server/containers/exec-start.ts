/** Starts a command in a running container: what ExecSync and the streaming Exec share. */
import { randomBytes } from 'node:crypto';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ProcessSpec } from '#contracts/oci/runtime.ts';
import type { ExecRequest } from '#contracts/oci/runtime-driver.ts';
import { SkiffError } from '#foundation/base/errors.ts';
import { identify, killProcessTree } from '#foundation/linux/process.ts';
import type { Core } from './deps.ts';
import { isRunning } from './lifecycle.ts';
import { specOf } from './places.ts';

/** Milliseconds within which a runtime moves a command's process into the container's cgroup. */
const execStartMs = 40;

/** What to run. */
export interface ExecCommand {
  containerId: string;
  command: readonly string[];
  tty: boolean;
}

/** A command that runs. */
export interface RunningExec {
  /** Its exit code; rejects if it could not be run. */
  exited: Promise<{ code: number }>;
  /** The command's process id, once the runtime has started it. */
  pid(): number | undefined;
  /** Kills the command, all its children, and the runtime process that waits for it; resolves when they are gone. */
  killTree(): Promise<void>;
}

/**
 * Starts a command.
 *
 * @param fds our descriptors for it, by its numbers.
 * @param terminal a terminal in place of `fds`: the path of ours, or of a socket that the runtime sends its own to.
 */
export async function startExec(
  core: Core,
  { containerId, command, tty }: ExecCommand,
  fds: Readonly<Record<number, number>>,
  terminal: Pick<ExecRequest, 'terminal' | 'consoleSocket'> = {},
): Promise<RunningExec> {
  if (command.length === 0) throw new SkiffError('INVALID_ARGUMENT', 'there is no command');
  const container = core.table.get(containerId);
  const { life } = container.record;
  if (!isRunning(life))
    throw new SkiffError('FAILED_PRECONDITION', `the container is ${life.phase}, not running`);
  core.warmth.hold(execStartMs);
  const directory = join(core.paths.run, 'exec');
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const base = join(directory, randomBytes(8).toString('hex'));
  const request = {
    id: container.id,
    processPath: `${base}.json`,
    pidPath: `${base}.pid`,
    fds,
    ...terminal,
  };
  const cleanUp = () => {
    for (const path of [request.processPath, request.pidPath]) rmSync(path, { force: true });
  };
  writeFileSync(
    request.processPath,
    JSON.stringify(execProcess(specOf(core, container).process, command, tty)),
    { mode: 0o600 },
  );
  try {
    const session = await core.runtimes.driver(container.record.runtime).exec(request);
    // Looked up now: the runtime's process is not reaped before, so its number is still its own.
    const runtime = identify(session.runtimePid);
    return {
      exited: session.exited.finally(cleanUp),
      pid: () => readPid(request.pidPath),
      killTree: async () => {
        const pid = readPid(request.pidPath);
        const identity = pid === undefined ? undefined : identify(pid);
        if (identity !== undefined) killProcessTree(identity);
        if (runtime !== undefined) killProcessTree(runtime);
        else session.kill(9);
        await session.exited.catch(() => {});
      },
    };
  } catch (error) {
    cleanUp();
    throw error;
  }
}

/** The container's own process document with another command: same user, environment and rights. */
function execProcess(own: ProcessSpec, command: readonly string[], tty: boolean): ProcessSpec {
  const env = own.env ?? [];
  return {
    ...own,
    args: [...command],
    terminal: tty,
    env: tty && !env.some((entry) => entry.startsWith('TERM=')) ? [...env, 'TERM=xterm'] : env,
  };
}

function readPid(path: string): number | undefined {
  try {
    const pid = Number(readFileSync(path, 'utf8'));
    return pid > 1 ? pid : undefined;
  } catch {
    return undefined;
  }
}
