/**
 * Namespaces by system call: made with unshare(2) on the main thread, pinned by bind mounts, entered for a
 * moment with setns(2). See namespaces(7).
 *
 * Between leaving and returning everything is synchronous, so no other work of this process can run in the
 * wrong namespace. libuv's thread pool must exist before the first call (a thread inherits the namespaces of
 * the one that starts it): `prepareNamespaces` sees to that.
 */
import { closeSync, openSync, statSync, writeFileSync } from 'node:fs';
import { stat } from 'node:fs/promises';
import { SkiffError } from '#foundation/base/errors.ts';
import { check, declare } from './libc.ts';
import { bindMount, unmount } from './mount.ts';

const unshare2 = declare('int unshare(int flags)');
const setns2 = declare('int setns(int fd, int type)');
const sethostname2 = declare('int sethostname(const char *name, size_t length)');

/** CLONE_NEW* of <linux/sched.h>. */
const cloneFlags = {
  mnt: 0x00020000,
  cgroup: 0x02000000,
  uts: 0x04000000,
  ipc: 0x08000000,
  user: 0x10000000,
  pid: 0x20000000,
  net: 0x40000000,
} as const;

/** A kind of namespace, named as in /proc/PID/ns. */
export type NamespaceKind = keyof typeof cloneFlags;
/** Kinds that a thread of this process can make or enter and leave again. */
export type ThreadNamespace = 'net' | 'ipc' | 'uts';

/**
 * Starts libuv's thread pool in this process's own namespaces. Await it once before any other function here.
 */
export async function prepareNamespaces(): Promise<void> {
  // Four at once: the pool starts all of its threads with its first work, this makes sure that each has run.
  await Promise.all(Array.from({ length: 4 }, () => stat('/')));
}

/**
 * Makes new namespaces of `kinds`, runs `inside` in them, and returns to the old ones. What `inside` does not
 * pin is gone afterwards.
 *
 * @throws SkiffError PERMISSION_DENIED without CAP_SYS_ADMIN, RESOURCE_EXHAUSTED at the limits of
 *   /proc/sys/user/max_*_namespaces; whatever `inside` throws.
 */
export function inNewNamespaces<T>(kinds: readonly ThreadNamespace[], inside: () => T): T {
  return returning(kinds, () => {
    const flags = kinds.reduce((sum, kind) => sum | cloneFlags[kind], 0);
    check(unshare2(flags), `Cannot make new namespaces (${kinds.join(', ')})`);
    return inside();
  });
}

/**
 * Runs `inside` in the namespaces that `paths` name (pins, or /proc/PID/ns/KIND), and returns.
 *
 * @throws SkiffError NOT_FOUND if a path is not there; whatever `inside` throws.
 */
export function inNamespaces<T>(paths: Partial<Record<ThreadNamespace, string>>, inside: () => T): T {
  const entries = Object.entries(paths) as [ThreadNamespace, string][];
  return returning(
    entries.map(([kind]) => kind),
    () => {
      for (const [kind, path] of entries) enter(kind, path);
      return inside();
    },
  );
}

/** setns(2) of the calling thread. */
function enter(kind: NamespaceKind, path: string): void {
  const fd = openSync(path, 'r');
  try {
    check(setns2(fd, cloneFlags[kind]), `Cannot enter the ${kind} namespace "${path}"`);
  } finally {
    closeSync(fd);
  }
}

function returning<T>(kinds: readonly ThreadNamespace[], work: () => T): T {
  const home = kinds.map((kind) => ({ kind, fd: openSync(`/proc/thread-self/ns/${kind}`, 'r') }));
  try {
    const result = work();
    // An async function would go on in the wrong namespace after the return: that is a bug of the caller.
    if (result instanceof Promise)
      throw new SkiffError('INTERNAL', 'Work inside a namespace must be synchronous');
    return result;
  } finally {
    for (const { kind, fd } of home) {
      if (setns2(fd, cloneFlags[kind]) !== 0) stranded(kind);
      closeSync(fd);
    }
  }
}

/** A process that cannot return to its namespace would do all further work in a pod's: it must end. */
function stranded(kind: string): never {
  process.stderr.write(`skiff: cannot return to the host's ${kind} namespace; ending at once\n`);
  process.abort();
}

/** The path of this thread's own namespace, for pinning inside `inNewNamespaces`. */
export function currentNamespace(kind: NamespaceKind): string {
  return `/proc/thread-self/ns/${kind}`;
}

/**
 * Keeps a namespace alive without a process: bind-mounts `source` (a path in /proc/PID/ns) on `pin`, a new file.
 *
 * @throws SkiffError; nothing is left of the pin then but an empty file.
 */
export function pinNamespace(source: string, pin: string): void {
  writeFileSync(pin, '', { mode: 0o600 });
  bindMount(source, pin);
}

/** Lets a pinned namespace go; the kernel frees it, and its interfaces, soon after. The file stays; none is success. */
export function unpinNamespace(pin: string): void {
  unmount(pin, { lazy: true });
}

/** NSFS_MAGIC's device is one for all namespaces; the inode number is the namespace's identity. */
export function namespaceId(path: string): bigint {
  return statSync(path, { bigint: true }).ino;
}

/** Whether a namespace is pinned at `path` now: all namespaces are files of one device, nsfs. */
export function isPinned(path: string): boolean {
  try {
    return statSync(path).dev === statSync('/proc/self/ns/net').dev;
  } catch {
    return false;
  }
}

/** sethostname(2) in the current UTS namespace. @throws SkiffError INVALID_ARGUMENT above 64 bytes. */
export function setHostname(name: string): void {
  check(sethostname2(name, Buffer.byteLength(name)), `Cannot set the hostname "${name}"`);
}
