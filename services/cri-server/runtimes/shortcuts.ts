/**
 * What crun and runc do at `start` and at `delete` of an ended container, without starting them: 5 to 10 ms each.
 * Both keep a FIFO `exec.fifo` and a JSON file in `<state>/<id>`. Whatever does not look as expected is left to
 * the runtime's own command.
 */
import {
  closeSync,
  constants,
  openSync,
  readFileSync,
  readSync,
  rmSync,
  unlinkSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { errnoOf } from '#foundation/base/errors.ts';
import { type CgroupLayout, removeCgroup } from '#foundation/linux/cgroups.ts';
import { isRunning } from '#foundation/linux/process.ts';

/** The runtimes whose state directories are known, by how their waiting process is let go. */
const fifoDirections: Readonly<Record<string, 'read' | 'write'>> = {
  // The process writes a byte and goes on when somebody has opened the other end.
  runc: 'read',
  // The process reads a byte.
  crun: 'write',
};

/** Milliseconds until the runtime's own command is tried instead. */
const patienceMs = 1000;

/**
 * Lets the process of a created container go on.
 *
 * @returns false if that did not work; nothing has changed then.
 */
export async function startByFifo(runtime: string, directory: string): Promise<boolean> {
  const direction = fifoDirections[runtime];
  if (direction === undefined) return false;
  const path = join(directory, 'exec.fifo');
  const end = performance.now() + patienceMs;
  let fd: number | undefined;
  try {
    while (performance.now() < end) {
      fd ??= openFifo(path, direction);
      if (fd !== undefined && passByte(fd, direction)) {
        unlinkSync(path);
        return true;
      }
      await sleep(1);
    }
    return false;
  } catch {
    return false;
  } finally {
    if (fd !== undefined) closeSync(fd);
  }
}

/** Opens without waiting for the other end; undefined while a writer finds no reader. */
function openFifo(path: string, direction: 'read' | 'write'): number | undefined {
  const flags = direction === 'read' ? constants.O_RDONLY : constants.O_WRONLY;
  try {
    return openSync(path, flags | constants.O_NONBLOCK);
  } catch (error) {
    if (errnoOf(error) === 'ENXIO') return undefined;
    throw error;
  }
}

function passByte(fd: number, direction: 'read' | 'write'): boolean {
  try {
    const byte = Buffer.from([0]);
    return (direction === 'read' ? readSync(fd, byte, 0, 1, null) : writeSync(fd, byte)) === 1;
  } catch (error) {
    if (errnoOf(error) === 'EAGAIN') return false;
    throw error;
  }
}

/** What is needed of a runtime's state file. */
interface EndedState {
  pid: number;
  startTime: number;
  cgroup: string;
}

/**
 * Removes the cgroup and the state of a container whose process has ended.
 *
 * @returns false if it lives, has hooks to run, or its state is not understood; nothing has changed then.
 */
export async function deleteEnded(
  runtime: string,
  directory: string,
  layout: CgroupLayout,
): Promise<boolean> {
  const state = readState(runtime, directory, layout);
  if (state === undefined || isRunning(state)) return false;
  await removeCgroup(layout, state.cgroup);
  rmSync(directory, { recursive: true, force: true });
  return true;
}

function readState(runtime: string, directory: string, layout: CgroupLayout): EndedState | undefined {
  try {
    if (runtime === 'runc')
      return runcState(JSON.parse(readFileSync(join(directory, 'state.json'), 'utf8')), layout);
    if (runtime === 'crun') return crunState(JSON.parse(readFileSync(join(directory, 'status'), 'utf8')));
  } catch {
    // Half-written, of another version, or not there: the runtime may still understand it.
  }
  return undefined;
}

function runcState(
  state: {
    init_process_pid: number;
    init_process_start: number;
    cgroup_paths: Record<string, string>;
    config: { Hooks?: { poststop?: unknown[] | null } | null };
  },
  layout: CgroupLayout,
): EndedState | undefined {
  if ((state.config.Hooks?.poststop?.length ?? 0) > 0) return undefined;
  const mount = layout.v1.get('memory') ?? layout.v2;
  const path = state.cgroup_paths.memory ?? state.cgroup_paths[''];
  if (mount === undefined || path === undefined || !path.startsWith(`${mount}/`)) return undefined;
  return checked({
    pid: state.init_process_pid,
    startTime: state.init_process_start,
    cgroup: path.slice(mount.length),
  });
}

function crunState(state: {
  pid: number;
  'process-start-time': number;
  'cgroup-path': string;
}): EndedState | undefined {
  return checked({ pid: state.pid, startTime: state['process-start-time'], cgroup: state['cgroup-path'] });
}

/** A group at the root would be everybody's. */
function checked(state: EndedState): EndedState | undefined {
  const valid =
    state.pid > 1 && state.startTime > 0 && /^\/[^/]/.test(state.cgroup) && !state.cgroup.includes('..');
  return valid ? state : undefined;
}
