/**
 * Starts processes with posix_spawn(3), which neither forks nor copies this process: Node's own spawn costs
 * 16 microseconds for each megabyte that the server holds. Children get real pipes, not socket pairs, so that
 * they can open /dev/stdout as usual.
 */
import { closeSync, constants as fsConstants } from 'node:fs';
import { Socket } from 'node:net';
import { constants } from 'node:os';
import { SkiffError } from '#foundation/base/errors.ts';
import { duplicate } from './duplicate.ts';
import { addressOf, check, declare, errnoError } from './libc.ts';

const posixSpawnp = declare(
  'int posix_spawnp(void *pid, const char *file, void *actions, void *attributes, void *argv, void *envp)',
);
const actionsInit = declare('int posix_spawn_file_actions_init(void *actions)');
const actionsDestroy = declare('int posix_spawn_file_actions_destroy(void *actions)');
const addDup2 = declare('int posix_spawn_file_actions_adddup2(void *actions, int fd, int newFd)');
const addOpen = declare(
  'int posix_spawn_file_actions_addopen(void *actions, int fd, const char *path, int flags, unsigned int mode)',
);
const addChdir = declare('int posix_spawn_file_actions_addchdir_np(void *actions, const char *path)');
const addCloseFrom = declare('int posix_spawn_file_actions_addclosefrom_np(void *actions, int from)');
const attributesInit = declare('int posix_spawnattr_init(void *attributes)');
const attributesDestroy = declare('int posix_spawnattr_destroy(void *attributes)');
const setFlags = declare('int posix_spawnattr_setflags(void *attributes, short flags)');
const setSigDefault = declare('int posix_spawnattr_setsigdefault(void *attributes, void *set)');
const setSigMask = declare('int posix_spawnattr_setsigmask(void *attributes, void *set)');
const waitpid = declare('int waitpid(int pid, void *status, int options)');
const kill2 = declare('int kill(int pid, int signal)');
const pipe2 = declare('int pipe2(void *fds, int flags)');

const WNOHANG = 1;
const O_CLOEXEC = 0o2000000;
/** POSIX_SPAWN_SETSIGDEF | SETSIGMASK, and SETSID: <spawn.h>. */
const SPAWN_SIGNALS = 0x04 | 0x08;
const SPAWN_SETSID = 0x80;
/** Larger than glibc's posix_spawnattr_t (336 bytes), posix_spawn_file_actions_t (80) and sigset_t (128). */
const opaqueBytes = 512;
/** Sources are first duplicated to numbers above this, so that none is overwritten before it is used. */
const firstSafeFd = 64;

/** What to start. */
export interface SpawnRequest {
  /** Path, or a name looked up on this process's PATH. */
  file: string;
  args: readonly string[];
  /** The whole environment. */
  env: Readonly<Record<string, string>>;
  /** Which of our descriptors the child gets, by its numbers; 0, 1 and 2 are /dev/null where left out. */
  fds?: Readonly<Record<number, number>>;
  cwd?: string;
  /** Makes it a session leader: setsid(2). */
  newSession?: boolean;
  /** A terminal to open as descriptors 0, 1 and 2; it becomes the controlling one. Implies `newSession`. */
  terminal?: string;
}

/** How a process ended. */
export interface ExitStatus {
  /** Exit code; 128 + signal number if a signal ended it, as shells and the CRI count. */
  code: number;
  /** The signal's number, if one ended it. */
  signal?: number;
}

/** A started process. */
export interface SpawnedProcess {
  readonly pid: number;
  /** Resolves once it has been reaped. */
  readonly exited: Promise<ExitStatus>;
  /** Sends a signal; a process that ended already is success. */
  kill(signal: number): void;
}

/** Starts processes and reaps them. One for the whole process is enough. */
export interface Spawner extends Disposable {
  /** @throws SkiffError NOT_FOUND if there is no such program, RESOURCE_EXHAUSTED at the process limit. */
  spawn(request: SpawnRequest): SpawnedProcess;
}

interface Child {
  resolve(status: ExitStatus): void;
}

/** Makes a spawner; it listens for SIGCHLD until it is disposed. */
export function createSpawner(): Spawner {
  const children = new Map<number, Child>();
  // The listener alone would not keep the process waiting for its children, and signals merge: hence the timer.
  let timer: NodeJS.Timeout | undefined;
  const reap = () => {
    for (const [pid, child] of children) {
      const status = waitFor(pid);
      if (status === undefined) continue;
      children.delete(pid);
      child.resolve(status);
    }
    if (children.size > 0) return;
    clearInterval(timer);
    timer = undefined;
  };
  process.on('SIGCHLD', reap);
  return {
    spawn(request) {
      const pid = spawnNow(request);
      const { promise, resolve } = Promise.withResolvers<ExitStatus>();
      children.set(pid, { resolve });
      timer ??= setInterval(reap, 500);
      return {
        pid,
        exited: promise,
        kill: (signal) => {
          if (children.has(pid)) kill2(pid, signal);
        },
      };
    },
    [Symbol.dispose]: () => {
      process.off('SIGCHLD', reap);
      clearInterval(timer);
    },
  };
}

const statusMemory = Buffer.alloc(4);

/** Reaps `pid` if it ended: wait(2). */
function waitFor(pid: number): ExitStatus | undefined {
  const result = waitpid(pid, statusMemory, WNOHANG);
  if (result === 0) return undefined;
  // Somebody else reaped it: that it ended is all that is known.
  if (result < 0) return { code: 255 };
  const status = statusMemory.readInt32LE();
  const signal = status & 0x7f;
  return signal === 0 ? { code: (status >> 8) & 0xff } : { code: 128 + signal, signal };
}

function spawnNow(request: SpawnRequest): number {
  const actions = Buffer.alloc(opaqueBytes);
  const attributes = Buffer.alloc(opaqueBytes);
  const duplicates: number[] = [];
  check(-actionsInit(actions), 'Cannot prepare a process');
  check(-attributesInit(attributes), 'Cannot prepare a process');
  try {
    addDescriptors(request, actions, duplicates);
    // Whoever started this process may have left descriptors open that are none of a child's business.
    addCloseFrom(actions, Math.max(2, ...Object.keys(request.fds ?? {}).map(Number)) + 1);
    if (request.cwd !== undefined) addChdir(actions, request.cwd);
    setSignals(request, attributes);
    const argv = cStrings([request.file, ...request.args]);
    const envp = cStrings(Object.entries(request.env).map(([name, value]) => `${name}=${value}`));
    const pid = Buffer.alloc(4);
    const error = posixSpawnp(pid, request.file, actions, attributes, argv.pointers, envp.pointers);
    if (error !== 0) throw errnoError(error, `Cannot run ${request.file}`);
    return pid.readInt32LE();
  } finally {
    for (const fd of duplicates) closeSync(fd);
    actionsDestroy(actions);
    attributesDestroy(attributes);
  }
}

function addDescriptors(request: SpawnRequest, actions: Buffer, duplicates: number[]): void {
  const { O_RDWR } = fsConstants;
  const wanted = Object.entries(request.fds ?? {}).map(([target, fd]) => ({ target: Number(target), fd }));
  for (const { target, fd } of wanted) {
    const copy = duplicate(fd, firstSafeFd, `Cannot pass on descriptor ${fd}`);
    duplicates.push(copy);
    addDup2(actions, copy, target);
  }
  const given = new Set(wanted.map(({ target }) => target));
  if (request.terminal !== undefined) {
    // A session leader's first terminal opened without O_NOCTTY becomes its controlling one: tty(4).
    addOpen(actions, 0, request.terminal, O_RDWR, 0);
    for (const target of [1, 2]) addDup2(actions, 0, target);
    return;
  }
  for (const target of [0, 1, 2]) if (!given.has(target)) addOpen(actions, target, '/dev/null', O_RDWR, 0);
}

/** Node ignores SIGPIPE and may block signals; a child must start with the defaults. */
function setSignals(request: SpawnRequest, attributes: Buffer): void {
  const all = Buffer.alloc(opaqueBytes);
  all.fill(0xff, 0, 8);
  const session = request.newSession === true || request.terminal !== undefined;
  setSigDefault(attributes, all);
  setSigMask(attributes, Buffer.alloc(opaqueBytes));
  setFlags(attributes, SPAWN_SIGNALS | (session ? SPAWN_SETSID : 0));
}

/** A NULL-terminated array of C strings. `strings` must live as long as `pointers` is used. */
function cStrings(values: readonly string[]): { pointers: Buffer; strings: Buffer } {
  const nul = values.find((value) => value.includes('\0'));
  if (nul !== undefined)
    throw new SkiffError('INVALID_ARGUMENT', `A program's argument holds a NUL byte: ${JSON.stringify(nul)}`);
  const strings = Buffer.from(values.map((value) => `${value}\0`).join(''));
  const pointers = Buffer.alloc((values.length + 1) * 8);
  const base = values.length === 0 ? 0n : addressOf(strings);
  let offset = 0;
  values.forEach((value, index) => {
    pointers.writeBigUInt64LE(base + BigInt(offset), index * 8);
    offset += Buffer.byteLength(value) + 1;
  });
  return { pointers, strings };
}

/** The two ends of a pipe, both closed on exec. The caller closes them. */
export function openPipe(): { read: number; write: number } {
  const fds = Buffer.alloc(8);
  check(pipe2(fds, O_CLOEXEC), 'Cannot make a pipe');
  return { read: fds.readInt32LE(0), write: fds.readInt32LE(4) };
}

/** A stream over a pipe's end (or a stream socket), which it owns from now on. */
export function pipeStream(fd: number, direction: 'read' | 'write'): Socket {
  return new Socket({ fd, readable: direction === 'read', writable: direction === 'write' });
}

/** Signal numbers by name (`SIGTERM`), with the real-time ones as Linux numbers them for glibc (34 to 64). */
export function signalNumber(name: string): number | undefined {
  const known: Record<string, number> = constants.signals;
  if (/^\d+$/.test(name)) return Number(name) <= 64 && Number(name) > 0 ? Number(name) : undefined;
  const full = name.toUpperCase().startsWith('SIG') ? name.toUpperCase() : `SIG${name.toUpperCase()}`;
  const match = /^SIGRT(MIN|MAX)(?:([+-])(\d{1,2}))?$/.exec(full);
  if (match === null) return known[full];
  const number = (match[1] === 'MIN' ? 34 : 64) + Number(`${match[2] ?? '+'}${match[3] ?? 0}`);
  return number >= 34 && number <= 64 ? number : undefined;
}
