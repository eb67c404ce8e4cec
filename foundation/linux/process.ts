/** Processes that are not our children: told apart by start time, signalled through pidfds, found by /proc. */
import { closeSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { isSkiffError } from '#foundation/base/errors.ts';
import { check, declare } from './libc.ts';

const syscall4 = declare('long syscall(long number, long a, long b, long c, long d)');

/** The same numbers on every architecture: <asm-generic/unistd.h>. */
const SYS_pidfd_send_signal = 424;
const SYS_pidfd_open = 434;

/** A process for all time: numbers are used again, but not with the same start. */
export interface ProcessIdentity {
  pid: number;
  /** Clock ticks after boot when it started: field 22 of /proc/PID/stat, proc(5). */
  startTime: number;
}

/** What /proc/PID/stat says, as far as it is used here. */
export interface ProcessStat extends ProcessIdentity {
  /** `R`, `S`, `D`, `Z`, ... */
  state: string;
  parent: number;
  /** Session id in the reader's PID namespace; 0 if it leads outside. */
  session: number;
}

/** Reads /proc/PID/stat; undefined if there is no such process. */
export function readStat(pid: number): ProcessStat | undefined {
  let text: string;
  try {
    text = readFileSync(`/proc/${pid}/stat`, 'utf8');
  } catch {
    return undefined;
  }
  // The name in parentheses may hold anything, also parentheses and spaces.
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  return {
    pid,
    state: fields[0] ?? '',
    parent: Number(fields[1]),
    session: Number(fields[3]),
    startTime: Number(fields[19]),
  };
}

/** The identity of a running process; undefined if it is gone or a zombie. */
export function identify(pid: number): ProcessIdentity | undefined {
  const stat = readStat(pid);
  return stat === undefined || isEnded(stat) ? undefined : { pid, startTime: stat.startTime };
}

/** Whether that very process still runs; a zombie does not. */
export function isRunning(identity: ProcessIdentity): boolean {
  return identify(identity.pid)?.startTime === identity.startTime;
}

function isEnded(stat: ProcessStat): boolean {
  return stat.state === 'Z' || stat.state === 'X';
}

/** The program that a process runs, as proc_pid_exe(5) names it. Undefined once it is gone. */
export function programOf(identity: ProcessIdentity): string | undefined {
  if (!isRunning(identity)) return undefined;
  try {
    return readlinkSync(`/proc/${identity.pid}/exe`);
  } catch {
    return undefined;
  }
}

/** The signals that a process catches: `SigCgt` of proc_pid_status(5). Undefined once it is gone. */
export function caughtSignals(identity: ProcessIdentity): Set<number> | undefined {
  if (!isRunning(identity)) return undefined;
  let status: string;
  try {
    status = readFileSync(`/proc/${identity.pid}/status`, 'utf8');
  } catch {
    return undefined;
  }
  const mask = BigInt(`0x${/^SigCgt:\s*([0-9a-f]+)/m.exec(status)?.[1] ?? '0'}`);
  const caught = new Set<number>();
  for (let signal = 1; signal <= 64; signal += 1) if ((mask >> BigInt(signal - 1)) & 1n) caught.add(signal);
  return caught;
}

/**
 * Sends a signal to that very process, never to one that got its number later: pidfd_open(2).
 *
 * @returns false if it has ended.
 * @throws SkiffError INVALID_ARGUMENT for a number that is no signal.
 */
export function signalProcess(identity: ProcessIdentity, signal: number): boolean {
  const fd = syscall4(SYS_pidfd_open, identity.pid, 0, 0, 0);
  if (fd < 0) return false;
  try {
    if (readStat(identity.pid)?.startTime !== identity.startTime) return false;
    check(syscall4(SYS_pidfd_send_signal, fd, signal, 0, 0), `Cannot signal process ${identity.pid}`);
    return true;
  } catch (error) {
    if (isSkiffError(error) && error.errno === 'ESRCH') return false;
    throw error;
  } finally {
    closeSync(fd);
  }
}

/** All processes that this PID namespace sees. */
export function listProcesses(): ProcessStat[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map((name) => readStat(Number(name)))
    .filter((stat) => stat !== undefined);
}

/**
 * A process, its descendants, and everything in its session: also children whose parent has ended and that
 * the kernel gave to another. Only for a process that does not share its session with others: the leader of
 * one, or what a leader that has ended left (crun makes the session in a process between).
 */
export function processTree(root: number, session = ownSession(root)): ProcessStat[] {
  const all = listProcesses();
  const found = new Set([root]);
  for (let before = 0; before !== found.size; ) {
    before = found.size;
    for (const stat of all) if (found.has(stat.parent) || stat.session === session) found.add(stat.pid);
  }
  return all.filter((stat) => found.has(stat.pid));
}

/**
 * Kills a process tree with SIGKILL. It looks again until nothing new turns up, since a process may fork
 * while it is being looked for.
 *
 * @returns how many were signalled.
 */
export function killProcessTree(root: ProcessIdentity): number {
  const session = ownSession(root.pid);
  const killed = new Set<number>();
  for (let round = 0; round < 100; round += 1) {
    const fresh = processTree(root.pid, session).filter((stat) => !isEnded(stat) && !killed.has(stat.pid));
    if (fresh.length === 0) break;
    for (const stat of fresh) {
      killed.add(stat.pid);
      signalProcess(stat, 9);
    }
  }
  return killed.size;
}

/** The session of a process if it can be taken for the tree's own: not this process's, and not none. */
function ownSession(pid: number): number {
  const session = readStat(pid)?.session ?? 0;
  return session === 0 || session === readStat(process.pid)?.session ? pid : session;
}
