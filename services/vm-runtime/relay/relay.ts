/**
 * Puts a relay between a VM whose memory is copy-on-write and a file server (relay.c): without it the file server would
 * see the memory of the template. It ends with either side.
 */
import { closeSync, openSync } from 'node:fs';
import type { Socket } from 'node:net';
import { fileURLToPath } from 'node:url';
import { wrapError } from '#foundation/base/errors.ts';
import { undoStack } from '#foundation/base/undo.ts';
import { confinedCommand } from '#foundation/linux/confined.ts';
import { openSocketPair, socketPair } from '#foundation/linux/socket-pair.ts';
import { type ExitStatus, openPipe, type Spawner } from '#foundation/linux/spawn.ts';
import { lastWords } from '#foundation/linux/spawn-command.ts';
import { sendDescriptors } from '#foundation/linux/unix-fds.ts';
import { nativeProgram } from '../native.ts';

/** Beside this file. */
const sourceNames = ['relay.h', 'relay.c', 'queues.c', 'memory.c'];

/** The path of the relay's program, built if need be. @param cache directory of what is made once. */
export function relayProgram(cache: string): Promise<string> {
  const sources = sourceNames.map((name) => fileURLToPath(new URL(name, import.meta.url)));
  return nativeProgram(cache, { name: 'relay', sources });
}

/** What a relay needs. */
export interface RelayDeps {
  spawner: Spawner;
  /** Its program. */
  program: string;
}

/** What a relay is for. */
export interface RelayRequest {
  /** The user, and group, that the hypervisor runs as, and so the relay. */
  user: number;
  /** The connection to the file server. It stays the caller's. */
  server: number;
  cgroup?: string;
}

/** A started relay. */
export interface Relay {
  pid: number;
  /** The connection for the hypervisor. */
  fd: number;
  /**
   * Gives it the memory of the hypervisor's process, which the guest's first request waits for: root may open that, the
   * relay gets what is open.
   *
   * @throws SkiffError NOT_FOUND if there is no such process; PERMISSION_DENIED where even root may not look into it.
   */
  giveMemory(pid: number): void;
  /** Closes what is ours of it, once the hypervisor has its copy: it ends if that never gets one. */
  close(): void;
  /** Why it ended, if it did. */
  said(): string;
  ended: Promise<ExitStatus>;
}

/** Bytes of its words that are kept. */
const saidBytes = 500;

/** Starts a relay, before the hypervisor, which gets an end of it. @throws SkiffError if there is no such program. */
export async function startRelay({ spawner, program }: RelayDeps, request: RelayRequest): Promise<Relay> {
  await using ours = undoStack();
  await using undo = undoStack();
  try {
    const [near, far] = socketPair();
    undo.defer('close our end', () => closeSync(near));
    ours.defer('close its end', () => closeSync(far));
    const memory = openSocketPair();
    undo.defer('close the socket for the memory', () => void memory.ours.destroy());
    ours.defer('close its end of that', () => closeSync(memory.theirs));
    const output = openPipe();
    ours.defer('close the output', () => closeSync(output.write));
    const said = lastWords(output.read, saidBytes);
    const [file = '', ...args] = [...confinedCommand(request.cgroup), program, String(request.user)];
    const child = spawner.spawn({
      ...{ file, args, env: {}, cwd: '/', newSession: true },
      fds: { 2: output.write, 3: far, 4: request.server, 5: memory.theirs },
    });
    undo.commit();
    return {
      ...{ pid: child.pid, fd: near, said, ended: child.exited },
      giveMemory: (pid) => give(memory.ours, pid),
      close: () => {
        memory.ours.destroy();
        closeSync(near);
      },
    };
  } catch (error) {
    throw wrapError(error, 'Cannot start the relay of a share');
  }
}

function give(socket: Socket, pid: number): void {
  try {
    const memory = openSync(`/proc/${pid}/mem`, 'r+');
    try {
      sendDescriptors(socket, '.', [memory]);
    } finally {
      closeSync(memory);
    }
  } catch (error) {
    throw wrapError(error, `Cannot relay the share of the process ${pid}`);
  }
}
