/**
 * Puts a relay between a VM whose memory is copy-on-write and a file server (relay.c): without it the file server would
 * see the memory of the template. It ends with either side.
 */
import { closeSync, openSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { wrapError } from '#foundation/base/errors.ts';
import { undoStack } from '#foundation/base/undo.ts';
import { confinedCommand } from '#foundation/linux/confined.ts';
import { socketPair } from '#foundation/linux/socket-pair.ts';
import { type ExitStatus, openPipe, type Spawner } from '#foundation/linux/spawn.ts';
import { lastWords } from '#foundation/linux/spawn-command.ts';
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
  /** The hypervisor's process; root may read the memory of others, the relay gets what is open. */
  pid: number;
  /** The user, and group, that it runs as. */
  user: number;
  /** The connection to the file server. It stays the caller's. */
  server: number;
  cgroup?: string;
}

/** A started relay. */
export interface Relay {
  pid: number;
  /** The connection for the hypervisor; the caller closes it when the hypervisor has its copy. */
  fd: number;
  /** Why it ended, if it did. */
  said(): string;
  ended: Promise<ExitStatus>;
}

/** Bytes of its words that are kept. */
const saidBytes = 500;

/**
 * Starts a relay.
 *
 * @throws SkiffError NOT_FOUND if there is no such process; PERMISSION_DENIED where even root may not look into it.
 */
export async function startRelay({ spawner, program }: RelayDeps, request: RelayRequest): Promise<Relay> {
  await using ours = undoStack();
  try {
    const memory = openSync(`/proc/${request.pid}/mem`, 'r+');
    ours.defer('close the memory', () => closeSync(memory));
    const [near, far] = socketPair();
    await using undo = undoStack();
    undo.defer('close our end', () => closeSync(near));
    ours.defer('close its end', () => closeSync(far));
    const output = openPipe();
    ours.defer('close the output', () => closeSync(output.write));
    const said = lastWords(output.read, saidBytes);
    const [file = '', ...args] = [...confinedCommand(request.cgroup), program, String(request.user)];
    const child = spawner.spawn({
      ...{ file, args, env: {}, cwd: '/', newSession: true },
      fds: { 2: output.write, 3: far, 4: request.server, 5: memory },
    });
    undo.commit();
    return { pid: child.pid, fd: near, said, ended: child.exited };
  } catch (error) {
    throw wrapError(error, `Cannot relay the share of the process ${request.pid}`);
  }
}
