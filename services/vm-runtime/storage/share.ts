/**
 * The share of a pod VM: a directory whose mounts the guest sees by virtiofs.
 *
 *     DIRECTORY/root          the parent that the guest mounts; itself a shared mount, so that what is mounted below it
 *                             later reaches the file server's own mount namespace
 *     DIRECTORY/share.json    which process the file server is
 *     DIRECTORY/share.sock    its socket, until the VM is connected
 *
 * The file server (QEMU's virtiofsd) runs as root, since it makes files for every user of the guest, but locked into
 * the parent: namespaces of its own with the parent as root, few capabilities, a filter of system calls.
 */
import { closeSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { SkiffError, wrapError } from '#foundation/base/errors.ts';
import { replaceFileSync } from '#foundation/base/files.ts';
import { undoStack } from '#foundation/base/undo.ts';
import { confinedCommand } from '#foundation/linux/confined.ts';
import { bindMount, MountFlag, mount, mountsBelow, unmount } from '#foundation/linux/mount.ts';
import { identify, isRunning, killProcessTree, type ProcessIdentity } from '#foundation/linux/process.ts';
import { openPipe, type Spawner } from '#foundation/linux/spawn.ts';
import { lastWords } from '#foundation/linux/spawn-command.ts';
import { connectUnix, listenUnix } from '#foundation/linux/unix-fds.ts';
import { addEntry, clearEntries, detach, leaveToServer, removeEntry } from './entries.ts';
import { lockedIn } from './open-files.ts';
import { type Share, type ShareRequest, shareTag } from './types.ts';

/** Bytes of the file server's words that are kept. */
const saidBytes = 2000;
/** Milliseconds between looks at a file server that is no child of ours. */
const lookMs = 250;

/** What a share needs. */
export interface ShareDeps {
  spawner: Spawner;
  /** The file server; Debian's place unless told. */
  program?: string;
}

/** A share that no VM is connected to yet. */
export interface StartedShare extends Share {
  /** The connection for the VM (`VmShare.fd`), once; the caller closes it when the hypervisor has its copy. */
  takeConnection(): number;
}

interface ShareRecord {
  version: 1;
  server: ProcessIdentity;
}

function filesOf(directory: string) {
  return {
    root: join(directory, 'root'),
    record: join(directory, 'share.json'),
    socket: join(directory, 'share.sock'),
  };
}

/**
 * Starts a share. Nothing is left if it fails.
 *
 * @throws SkiffError FAILED_PRECONDITION if virtiofsd is not installed; ALREADY_EXISTS if the directory is there.
 */
export async function startShare(deps: ShareDeps, request: ShareRequest): Promise<StartedShare> {
  const { directory } = request;
  const files = filesOf(directory);
  const program = deps.program ?? '/usr/lib/qemu/virtiofsd';
  await using undo = undoStack();
  try {
    if (!existsSync(program))
      throw new SkiffError('FAILED_PRECONDITION', `${program} is not installed: run "skiff setup vm"`);
    mkdirSync(directory, { mode: 0o700 });
    undo.defer('remove the directory', () => rmSync(directory, { recursive: true, force: true }));
    mkdirSync(files.root, { mode: 0o755 });
    shareMount(files.root);
    undo.defer('unmount the share', () => unmount(files.root, { lazy: true }));
    const started = startServer(deps.spawner, program, request, files);
    undo.defer('end the file server', () => {
      killProcessTree(started.identity);
      closeSync(started.connection);
    });
    const record: ShareRecord = { version: 1, server: started.identity };
    replaceFileSync(files.record, JSON.stringify(record), { durable: false });
    undo.commit();
    return {
      ...makeShare(directory, started.identity, started.ended),
      takeConnection: () => started.connection,
    };
  } catch (error) {
    throw wrapError(error, `Cannot start the share "${directory}"`);
  }
}

/** A mount of its own whose later mounts go to those that copied it: mount_namespaces(7). */
function shareMount(root: string): void {
  bindMount(root, root);
  try {
    mount({ source: 'none', target: root, flags: MountFlag.private });
    mount({ source: 'none', target: root, flags: MountFlag.shared });
  } catch (error) {
    unmount(root, { lazy: true });
    throw error;
  }
}

interface StartedServer {
  identity: ProcessIdentity;
  connection: number;
  ended: Share['ended'];
}

function startServer(
  spawner: Spawner,
  program: string,
  { cgroup }: ShareRequest,
  files: ReturnType<typeof filesOf>,
): StartedServer {
  const listening = listenUnix(files.socket);
  const output = openPipe();
  const [file = '', ...prefix] = confinedCommand(cgroup);
  // Attributes and names are believed for a second ("auto"), so changes on the host are seen within that. Submounts
  // are announced: each has a device number of its own in the guest, or inodes of two would seem the same.
  const options = [
    'cache=auto',
    'xattr',
    'announce_submounts',
    'sandbox=namespace',
    'no_posix_lock',
    'no_flock',
  ];
  try {
    const child = spawner.spawn({
      file,
      args: [
        ...prefix,
        program,
        '--fd=3',
        '-o',
        `source=${files.root}`,
        ...options.flatMap((each) => ['-o', each]),
      ],
      env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C' },
      cwd: '/',
      newSession: true,
      fds: { 1: output.write, 2: output.write, 3: listening },
    });
    const identity = identify(child.pid);
    if (identity === undefined) throw new SkiffError('FAILED_PRECONDITION', 'the file server ended at once');
    // It listens already, so this waits for nobody; if the server fails the connection ends.
    const connection = connectUnix(files.socket);
    const said = lastWords(output.read, saidBytes);
    return { identity, connection, ended: child.exited.then(({ code }) => ({ code, said: said() })) };
  } catch (error) {
    closeSync(output.read);
    throw error;
  } finally {
    closeSync(output.write);
    closeSync(listening);
    rmSync(files.socket, { force: true });
  }
}

/**
 * Finds a share again whose starter has died.
 *
 * @throws SkiffError NOT_FOUND if there is none, or if its file server has ended.
 */
export function attachShare(directory: string): Share {
  const record = readRecord(directory);
  if (record === undefined || !isRunning(record.server))
    throw new SkiffError('NOT_FOUND', `The file server of the share "${directory}" does not run any more`);
  return makeShare(directory, record.server);
}

function readRecord(directory: string): ShareRecord | undefined {
  try {
    const record = JSON.parse(readFileSync(filesOf(directory).record, 'utf8')) as ShareRecord;
    return record.version === 1 ? record : undefined;
  } catch {
    return undefined;
  }
}

function makeShare(directory: string, server: ProcessIdentity, childEnd?: Share['ended']): Share {
  const { root } = filesOf(directory);
  const state = { released: false };
  return {
    tag: shareTag,
    directory: root,
    pid: server.pid,
    ended: childEnd ?? watchServer(server, state),
    add: (entry) => {
      const at = addEntry(root, entry);
      if (isLockedIn(server.pid, root)) leaveToServer(root, entry.name);
      return at;
    },
    remove: (name) => removeEntry(root, name),
    list: () => readdirSync(root),
    stop: () => removeShare(directory),
    release: () => {
      state.released = true;
    },
  };
}

/** Whether the file server has made its own mount namespace, with the share as its root. */
function isLockedIn(pid: number, root: string): boolean {
  const [own, its] = [root, `/proc/${lockedIn(pid)}/root/`].map((path) =>
    statSync(path, { throwIfNoEntry: false }),
  );
  return own !== undefined && its !== undefined && own.ino === its.ino && own.dev === its.dev;
}

async function watchServer(
  server: ProcessIdentity,
  state: { released: boolean },
): Promise<{ code: undefined; said: string }> {
  while (isRunning(server) && !state.released) await sleep(lookMs, undefined, { ref: false });
  // Whoever released it does not want to hear of it.
  if (state.released) await new Promise(() => {});
  return { code: undefined, said: '' };
}

/**
 * Ends the file server of a share, whoever started it, unmounts everything and removes the directory. What was shared
 * is not touched. Idempotent.
 *
 * @throws SkiffError FAILED_PRECONDITION if something is mounted there that cannot be unmounted: nothing is removed then.
 */
export async function removeShare(directory: string): Promise<void> {
  const { root } = filesOf(directory);
  const server = readRecord(directory)?.server ?? findServer(root);
  if (server !== undefined) {
    killProcessTree(server);
    for (let waited = 0; isRunning(server) && waited < 5000; waited += 5) await sleep(5);
  }
  if (!existsSync(directory)) return;
  clearEntries(root);
  // What a crash left half added beside the root, and that itself. Whatever stays mounted must not be removed with it.
  for (const name of readdirSync(directory)) if (name.startsWith('root.')) detach(join(directory, name));
  for (let left = 64; left > 0 && mountsBelow(directory).length > 0; left -= 1)
    for (const each of mountsBelow(directory)) unmount(each.target, { lazy: true });
  const [stuck] = mountsBelow(directory);
  if (stuck !== undefined)
    throw new SkiffError(
      'FAILED_PRECONDITION',
      `Cannot remove the share "${directory}": "${stuck.target}" stays mounted`,
    );
  rmSync(directory, { recursive: true, force: true });
}

/** The server of a starter that died before it wrote the record. */
function findServer(root: string): ProcessIdentity | undefined {
  for (const pid of readdirSync('/proc')) {
    if (!/^\d+$/.test(pid)) continue;
    try {
      if (readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0').includes(`source=${root}`))
        return identify(Number(pid));
    } catch {
      // Gone meanwhile.
    }
  }
  return undefined;
}
