/** The processes that this host holds: new ones, those it found, and how each ended. */
import type { Event } from '#contracts/vm/agent_pb.ts';
import { SkiffError } from '#foundation/base/errors.ts';
import type { CallShape, Link } from './link.ts';
import { exitOf, type HeldProcess, holdProcess, processState } from './process.ts';
import type { AgentCallOptions, AgentHello, GuestExit, GuestProcess, GuestProcessState } from './types.ts';

/** The highest handle of the protocol. */
const maxHandle = 2 ** 29 - 1;

/** The table of a client. */
export interface ProcessTable {
  newHandle(): number;
  /** Makes a call that starts a process, and takes the process up. */
  begin(
    what: string,
    ms: number,
    options: AgentCallOptions | undefined,
    call: (handle: number) => CallShape,
  ): Promise<GuestProcess>;
  attach(handle: number, from?: { stdout?: number; stderr?: number }): GuestProcess;
  /** The guest has deleted a container, and with it its processes. */
  forgetContainer(id: string): void;
}

/** Killed with its container; the guest had no time to say so. */
const killed: GuestExit = { code: 137, signal: 9, at: 0n, written: { stdout: 0, stderr: 0 } };

/** What the table is made of. */
export interface TableDeps {
  link: Link;
  hello: AgentHello;
  /** Sees every event, after the table. */
  onEvent(event: Event): void;
}

/** Makes the table. */
export function processTable({ link, hello, onEvent }: TableDeps): ProcessTable {
  const known = new Map(hello.processes.map((state) => [state.handle, state]));
  const held = new Map<number, HeldProcess>();
  const exits = new Map<number, PromiseWithResolvers<GuestExit>>();
  let last = hello.processes.reduce((most, { handle }) => Math.max(most, handle), 0);
  const exitOfHandle = (handle: number) => {
    const found = exits.get(handle) ?? Promise.withResolvers<GuestExit>();
    found.promise.catch(() => {}); // The connection may break with nobody waiting.
    exits.set(handle, found);
    return found;
  };
  for (const { handle, exit } of hello.processes) if (exit !== undefined) exitOfHandle(handle).resolve(exit);
  // Of a process that was found and nobody has attached to yet; others are none of ours.
  const knownExit = (handle: number) => (known.has(handle) ? exitOfHandle(handle) : undefined);
  link.onEvent((message) => {
    const { event } = message;
    if (event.case === 'exited')
      (exits.get(event.value.handle) ?? knownExit(event.value.handle))?.resolve(exitOf(event.value));
    onEvent(message);
  });
  void link.closed.then((why) => {
    for (const exit of exits.values()) exit.reject(why);
  });
  const newHandle = () => {
    if (last >= maxHandle) throw new SkiffError('RESOURCE_EXHAUSTED', 'The VM has run too many processes');
    return ++last;
  };
  const hold = (state: GuestProcessState, from: { stdout: number; stderr: number }) => {
    const { handle } = state;
    const exited = exitOfHandle(handle);
    if (state.exit !== undefined) exited.resolve(state.exit);
    const onReleased = () => {
      held.delete(handle);
      known.delete(handle);
      exits.delete(handle);
      exited.resolve(killed);
    };
    const one = holdProcess({ link, state, exited: exited.promise, from, onReleased });
    held.set(handle, one);
    return one.process;
  };
  return {
    newHandle,
    async begin(what, ms, options, call) {
      const handle = newHandle();
      // Its end may be told before the reply.
      exitOfHandle(handle);
      try {
        const { result } = await link.call(what, call(handle), ms, options);
        if (result.case !== 'process' || result.value.handle !== handle)
          throw new SkiffError('DATA_LOSS', `${what}: the guest answered something else`);
        return hold(processState(result.value), { stdout: 0, stderr: 0 });
      } catch (error) {
        exits.delete(handle);
        throw error;
      }
    },
    attach(handle, from = {}) {
      if (link.ended !== undefined) throw link.ended;
      const state = known.get(handle);
      if (state === undefined || held.has(handle) || state.containerId === '')
        throw new SkiffError('NOT_FOUND', `The guest has no process with handle ${handle} to attach to`);
      const start = { stdout: from.stdout ?? state.stdoutFrom, stderr: from.stderr ?? state.stderrFrom };
      if (start.stdout < state.stdoutFrom || start.stderr < state.stderrFrom)
        throw new SkiffError(
          'OUT_OF_RANGE',
          `The guest no longer has the output that was asked for of process ${handle}`,
        );
      return hold(state, start);
    },
    forgetContainer(id) {
      for (const { process, forgotten } of [...held.values()]) if (process.containerId === id) forgotten();
      for (const [handle, state] of known) if (state.containerId === id) known.delete(handle);
    },
  };
}
