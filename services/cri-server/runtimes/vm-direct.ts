/**
 * Calls for containers of pod VMs, straight to the pod's supervisor (contracts/vm/supervisor.proto): a process of
 * `skiff-vm` for each would cost a tenth of a second. Where no supervisor answers, the command line is called: it starts
 * another one.
 */
import { randomBytes } from 'node:crypto';
import { closeSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ExecRequest, ExecSession, RuntimeDriver } from '#contracts/oci/runtime-driver.ts';
import { Supervisor } from '#contracts/vm/supervisor_pb.ts';
import { answers } from '#foundation/base/answers.ts';
import { isSkiffError, messageOf, SkiffError } from '#foundation/base/errors.ts';
import type { Client } from '#foundation/grpc/client.ts';
import { openLeanChannel } from '#foundation/grpc/lean-client.ts';
import { duplicate } from '#foundation/linux/duplicate.ts';
import type { SpawnedProcess, Spawner } from '#foundation/linux/spawn.ts';

/** What is needed. */
export interface VmDirectDeps {
  spawner: Spawner;
  /** The runtime's state: `<id>/state.json` names the container's pod. */
  stateDirectory: string;
  /** Milliseconds for one call. */
  timeoutMs: number;
  /** Milliseconds that the end of a command that was given up is waited for; 10,000 unless told. */
  endMs?: number;
}

const usualEndMs = 10_000;

/** What is needed of a container's record, which the runtime keeps. */
export interface VmContainerRecord {
  /** The pod's directory. */
  pod: string;
  exit?: { oomKilled: boolean };
}

/** The record of a container; undefined if there is none. */
export function vmRecordOf(stateDirectory: string, id: string): VmContainerRecord | undefined {
  try {
    return JSON.parse(readFileSync(join(stateDirectory, id, 'state.json'), 'utf8')) as VmContainerRecord;
  } catch {
    return undefined;
  }
}

/** The path of the socket that a pod's supervisor serves. */
export const supervisorSocket = (podDirectory: string): string => join(podDirectory, 'supervisor.sock');

type SupervisorClient = Client<typeof Supervisor>;

/** The driver with direct calls in place of processes. */
export function directly(deps: VmDirectDeps, driver: RuntimeDriver): RuntimeDriver {
  const { timeoutMs } = deps;
  return {
    ...driver,
    start: (id, spec) =>
      call(
        deps,
        id,
        (client) => client.startContainer({ id }, { timeoutMs }),
        () => driver.start(id, spec),
      ),
    delete: (id, options = {}) => remove(deps, driver, id, options),
    async exec(request) {
      const socket = await socketOf(deps, request.id);
      return socket === undefined ? await driver.exec(request) : exec(deps, socket, request);
    },
    update: (id, resources) =>
      call(
        deps,
        id,
        (client) => client.updateContainer({ id, resources: JSON.stringify(resources) }, { timeoutMs }),
        () => driver.update(id, resources),
      ),
    pause: (id) =>
      call(
        deps,
        id,
        (client) => client.pause({ id }, { timeoutMs }),
        () => driver.pause(id),
      ),
    resume: (id) =>
      call(
        deps,
        id,
        (client) => client.resume({ id }, { timeoutMs }),
        () => driver.resume(id),
      ),
  };
}

/** The socket of a container's supervisor; undefined where none answers. */
async function socketOf({ stateDirectory }: VmDirectDeps, id: string): Promise<string | undefined> {
  const record = vmRecordOf(stateDirectory, id);
  if (record === undefined) return undefined;
  const socket = supervisorSocket(record.pod);
  return (await answers(socket)) ? socket : undefined;
}

/** Makes a call, or what takes its place where no supervisor answers. */
async function call(
  deps: VmDirectDeps,
  id: string,
  work: (client: SupervisorClient) => Promise<unknown>,
  otherwise: () => Promise<void>,
): Promise<void> {
  const socket = await socketOf(deps, id);
  if (socket === undefined) return await otherwise();
  using channel = openLeanChannel(socket);
  await work(channel.client(Supervisor)).catch(tell);
}

/** As the command line's failures: whose words they are comes first. */
function tell(error: unknown): never {
  if (isSkiffError(error, 'CANCELLED', 'DEADLINE_EXCEEDED', 'FAILED_PRECONDITION', 'UNAVAILABLE'))
    throw error;
  throw new SkiffError('INTERNAL', `skiff-vm: ${messageOf(error)}`, { cause: error });
}

/** What has ended is deleted; what has not only by force. The command line takes care of what is left otherwise. */
async function remove(
  deps: VmDirectDeps,
  driver: RuntimeDriver,
  id: string,
  options: { force?: boolean },
): Promise<void> {
  try {
    await call(
      deps,
      id,
      (client) =>
        client.deleteContainer({ id, force: options.force === true }, { timeoutMs: deps.timeoutMs }),
      () => driver.delete(id, options),
    );
  } catch (error) {
    // It knows the host's side too: a container whose process on the host is gone has ended.
    if (!isSkiffError(error, 'FAILED_PRECONDITION', 'UNAVAILABLE')) throw error;
    await driver.delete(id, options);
  }
  rmSync(join(deps.stateDirectory, id), { recursive: true, force: true });
}

/** A command that is to run. */
interface Command {
  /** Chosen here; the supervisor knows the command by it. */
  execId: string;
  /** The OCI `process` as JSON. */
  process: string;
  fds: readonly (readonly [string, number])[];
}

/** Has the supervisor run the command, then starts what carries its streams: the process that stands for it here. */
function exec(deps: VmDirectDeps, socket: string, request: ExecRequest): ExecSession {
  const execId = randomBytes(8).toString('hex');
  // The caller closes its own as soon as it has the session.
  const fds = Object.entries(request.fds).map(([number, fd]) => [number, duplicate(fd)] as const);
  const given = new AbortController();
  let carrier: SpawnedProcess | undefined;
  const exited = (async () => {
    try {
      const process = readFileSync(request.processPath, 'utf8');
      carrier = await carry(deps, socket, request, { execId, process, fds }, given.signal);
    } finally {
      for (const [, fd] of fds) closeSync(fd);
    }
    const { code } = await carrier.exited;
    // The end of the carrier alone would have it killed too, but nobody would know when.
    if (given.signal.aborted) await endInGuest(deps, socket, request.id, execId);
    return { code };
  })();
  exited.catch(() => {}); // The caller awaits it; until then a failure must not count as unhandled.
  return {
    runtimePid: 0,
    exited,
    kill(signal) {
      given.abort();
      carrier?.kill(signal);
    },
  };
}

/** @throws SkiffError CANCELLED if the command was given up meanwhile; it has ended then. */
async function carry(
  deps: VmDirectDeps,
  socket: string,
  request: ExecRequest,
  { execId, process, fds }: Command,
  given: AbortSignal,
): Promise<SpawnedProcess> {
  const { carrier } = await begin(deps, socket, { id: request.id, execId, process }, given);
  if (given.aborted) {
    await endInGuest(deps, socket, request.id, execId);
    throw new SkiffError('CANCELLED', 'it was given up while it was started, and was killed');
  }
  const [file, ...args] = carrier;
  if (file === undefined) throw new SkiffError('INTERNAL', 'skiff-vm: its supervisor is of another version');
  const console = request.consoleSocket === undefined ? [] : ['-c', request.consoleSocket];
  const child = deps.spawner.spawn({
    file,
    args: [...console, ...args],
    env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin' },
    fds: Object.fromEntries(fds),
    newSession: true,
    terminal: request.terminal,
  });
  writeFileSync(request.pidPath, String(child.pid), { mode: 0o600 });
  return child;
}

/** Has it started. One that is given up meanwhile is waited for a little: it can be killed only once it is there. */
async function begin(
  { timeoutMs, endMs = usualEndMs }: VmDirectDeps,
  socket: string,
  command: { id: string; execId: string; process: string },
  given: AbortSignal,
): Promise<{ carrier: string[] }> {
  using channel = openLeanChannel(socket);
  const late = new AbortController();
  let timer: NodeJS.Timeout | undefined;
  const wait = () => {
    timer = setTimeout(() => late.abort(), endMs);
  };
  given.addEventListener('abort', wait, { once: true });
  try {
    return await channel.client(Supervisor).exec(command, { timeoutMs, signal: late.signal }).catch(tell);
  } finally {
    given.removeEventListener('abort', wait);
    clearTimeout(timer);
  }
}

/** Kills a command with all that it started; it has ended when this resolves, unless its guest does not answer. */
async function endInGuest(
  { endMs = usualEndMs }: VmDirectDeps,
  socket: string,
  id: string,
  execId: string,
): Promise<void> {
  using channel = openLeanChannel(socket);
  const client = channel.client(Supervisor);
  try {
    await client.signal({ id, execId, signal: 9, all: true }, { timeoutMs: endMs });
    await client.wait({ id, execId }, { timeoutMs: endMs });
  } catch (error) {
    // It has ended already, maybe with its container or its VM; or the supervisor will do it when it can.
    if (!isSkiffError(error)) throw error;
  }
}
