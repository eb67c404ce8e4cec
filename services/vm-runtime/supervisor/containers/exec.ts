/** Exec: one more process in a running container. */
import type { ProcessSpec } from '#contracts/oci/runtime.ts';
import { SkiffError } from '#foundation/base/errors.ts';
import type { Container, Core, Running } from '../core.ts';
import { saveContainer, watchExit } from '../exits.ts';
import { bindProcess, execLink } from '../links.ts';
import { guestProcess } from '../translate/index.ts';
import { getLive } from './find.ts';

/** Milliseconds until a shim must have attached to a new process: its starter may have died. */
const shimMs = 15_000;

/** What is asked for. */
export interface ExecRequest {
  id: string;
  execId: string;
  /** The OCI `process` as JSON. */
  process: string;
}

/** A process that was started. */
export interface Executed {
  /** The guest's number of it. */
  guestPid: number;
  /** The command line of what carries its streams. */
  carrier: string[];
}

/** Starts a process. @param abort whether the caller has gone: then it is killed at once */
export async function exec(core: Core, request: ExecRequest, abort: AbortSignal): Promise<Executed> {
  const container = getLive(core, request.id, 'exec in');
  const { status } = container.record;
  if (status === 'paused') throw new SkiffError('FAILED_PRECONDITION', 'cannot exec in a paused container');
  if (!/^[\w+-][\w+.-]{0,127}$/.test(request.execId) || container.execs.has(request.execId))
    throw new SkiffError('INVALID_ARGUMENT', `the exec id "${request.execId}" is not valid, or taken`);
  const spec = guestProcess(parse(request.process));
  const { agent } = await core.machine();
  const process = await agent.exec({
    containerId: request.id,
    process: JSON.stringify(spec),
    terminal: spec.terminal === true,
    ...(spec.consoleSize === undefined || spec.consoleSize.width === 0
      ? {}
      : { size: { columns: spec.consoleSize.width, rows: spec.consoleSize.height } }),
  });
  const running: Running = {
    link: execLink(core, request.id, request.execId),
    process,
    ended: Promise.withResolvers(),
  };
  container.execs.set(request.execId, running);
  container.record.execs.push({ id: request.execId, handle: process.handle, guestPid: process.pid });
  bindProcess(running);
  saveContainer(core, container);
  core.events.emit('EXEC_STARTED', { container: request.id, exec: request.execId });
  watchExit(core, container, running, { id: request.execId, running });
  void forgetLater(core, container, request.execId, running);
  if (abort.aborted) await process.signal(9, { all: true }).catch(() => {});
  const terminal = spec.terminal === true;
  const carrier = (await core.carrier?.(request.id, request.execId, terminal)) ?? [];
  return { guestPid: process.pid, carrier };
}

function parse(text: string): ProcessSpec {
  try {
    const spec = JSON.parse(text) as ProcessSpec;
    if (Array.isArray(spec.args) && spec.args.length > 0) return spec;
  } catch (error) {
    throw new SkiffError('INVALID_ARGUMENT', `the process document is not JSON: ${(error as Error).message}`);
  }
  throw new SkiffError('INVALID_ARGUMENT', 'the process document has no args');
}

/** Milliseconds that the exit of a command is kept for those who ask late. */
const keepMs = 30_000;

/**
 * Kills a process that nobody attaches to; forgets one that has ended, after a while. It stays on disk until its shim has
 * all of its output: a supervisor that comes meanwhile must find it.
 */
export async function forgetLater(
  core: Core,
  container: Container,
  id: string,
  running: Running,
): Promise<void> {
  const attached = running.link.shim(shimMs).then(() => running.link.done);
  await attached.catch(async (error) => {
    core.say('no shim attached to a command', { container: container.record.id, error: String(error) });
    await running.process?.signal(9, { all: true }).catch(() => {});
  });
  await running.ended.promise;
  container.record.execs = container.record.execs.filter((one) => one.id !== id);
  // Unless the container was deleted meanwhile.
  if (core.containers.get(container.record.id) === container) saveContainer(core, container);
  await new Promise((resolve) => setTimeout(resolve, keepMs).unref());
  container.execs.delete(id);
  await running.process?.release().catch(() => {});
}
