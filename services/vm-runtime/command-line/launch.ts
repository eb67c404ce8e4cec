/** Starts supervisors. Any number of commands may want the same one: its lock lets one live, the others wait for it. */
import { readFileSync, statSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { answers } from '#foundation/base/answers.ts';
import { SkiffError } from '#foundation/base/errors.ts';
import type { PodPaths } from '../supervisor/paths.ts';

/** Milliseconds until a supervisor must serve. It does so before its VM is up. */
const serveMs = 30_000;

/** What is needed to start one. */
export interface LaunchContext {
  cache: string;
}

/** The supervisor's program: this Node with as little memory as does. */
export function supervisorCommand({ cache }: LaunchContext, pod: PodPaths): [string, ...string[]] {
  return [
    process.execPath,
    '--disable-warning=ExperimentalWarning',
    '--max-semi-space-size=1',
    '--max-old-space-size=128',
    '--v8-pool-size=1',
    fileURLToPath(new URL('../supervisor/main.ts', import.meta.url)),
    pod.directory,
    cache,
  ];
}

/** The environment of all that is started here: nothing of the caller's gets into a VM's processes. */
export function cleanEnvironment(): Record<string, string> {
  const { PATH = '/usr/sbin:/usr/bin:/sbin:/bin', NODE_COMPILE_CACHE } = process.env;
  return { PATH, ...(NODE_COMPILE_CACHE === undefined ? {} : { NODE_COMPILE_CACHE }) };
}

/**
 * Returns when the pod's supervisor serves; one that is not there is started.
 *
 * @throws SkiffError NOT_FOUND if there is no such pod; UNAVAILABLE with what the supervisor said.
 */
export async function ensureSupervisor(context: LaunchContext, pod: PodPaths): Promise<void> {
  if (await answers(pod.socket)) return;
  if (!exists(pod.config)) throw gone(pod);
  const { startDaemon } = await import('#foundation/linux/daemon.ts');
  const [file, ...args] = supervisorCommand(context, pod);
  let ended: number | undefined;
  const logFile = pod.log;
  const daemon = await startDaemon({ file, args, logFile, env: cleanEnvironment() });
  void daemon.ended.then((code) => {
    ended = code;
  });
  const end = performance.now() + serveMs;
  while (!(await answers(pod.socket))) {
    if (!exists(pod.directory)) throw gone(pod);
    // One that found the lock taken ends with 0: then another one is starting.
    if (ended !== undefined && ended !== 0) throw unavailable(pod, `it ended with ${ended}`);
    if (performance.now() > end) throw unavailable(pod, `it did not serve within ${serveMs / 1000} s`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

function exists(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false }) !== undefined;
}

function gone(pod: PodPaths): SkiffError {
  return new SkiffError('NOT_FOUND', `the VM of ${pod.directory} does not exist any more`);
}

function unavailable(pod: PodPaths, why: string): SkiffError {
  let said = '';
  try {
    said = readFileSync(pod.log, 'utf8').trim().slice(-1000);
  } catch {
    // It did not get that far.
  }
  return new SkiffError(
    'UNAVAILABLE',
    `Cannot start the VM's supervisor: ${why}${said === '' ? '' : `: ${said}`}`,
  );
}
