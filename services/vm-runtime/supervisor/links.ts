/** Finds the process that a shim's connection is for, and tells it what the shim is told. */

import type { Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { messageOf } from '#foundation/base/errors.ts';
import type { AgentClient } from '../agent-client/types.ts';
import type { Core, Running } from './core.ts';
import { type LinkEvents, type ProcessLink, processLink } from './io/process-link.ts';
import type { ShimConnection } from './io/server.ts';

/** Milliseconds that a shim may wait for the call that names its container. */
const earlyMs = 60_000;

/** Takes a shim's connection. */
export function acceptShim(core: Core, connection: ShimConnection, socket: Socket): void {
  if (connection.kind === 'dial') void dial(core, Number(connection.process), socket);
  else {
    const link = linkFor(core, connection);
    if (link === undefined) endShim(connection, socket);
    else link.connect(connection, socket);
  }
}

function linkFor(core: Core, { container: id, process }: ShimConnection): ProcessLink | undefined {
  const container = core.containers.get(id);
  // A command that is not known ended long ago, and so did whoever waited for it.
  if (process !== '-') return container?.execs.get(process)?.link;
  return container?.link ?? earlyLink(core, id);
}

/** Carries a connection to a port inside of the pod: first a line, empty or with the reason of a failure. */
async function dial(core: Core, port: number, socket: Socket): Promise<void> {
  try {
    const { agent } = await core.machine();
    const connection = await connectEither(agent, port);
    connection.on('error', () => socket.destroy());
    socket.on('error', () => connection.destroy());
    socket.on('close', () => connection.destroy());
    socket.write('\n');
    socket.pipe(connection).pipe(socket);
  } catch (error) {
    socket.end(`${messageOf(error).replaceAll('\n', ' ')}\n`);
  }
}

/** A server may listen on one family only; the first refusal is the one to tell of. */
function connectEither(agent: AgentClient, port: number) {
  return agent.connectTcp(port, '127.0.0.1').catch((first) =>
    agent.connectTcp(port, '::1').catch(() => {
      throw first;
    }),
  );
}

/** A shim whose process nobody knows ends as one that was killed. */
function endShim(connection: ShimConnection, socket: Socket): void {
  const { kind } = connection;
  if (kind === 'control') socket.end(Buffer.from([0, 0, 0, 137, 0, 0, 0, 9]));
  else if (kind === 'in') socket.write(Buffer.alloc(8, 0xff));
  else socket.end(Buffer.alloc(4));
}

function earlyLink(core: Core, id: string): ProcessLink {
  const known = core.early.get(id);
  if (known !== undefined) return known;
  const link = processLink(containerEvents(core, id));
  core.early.set(id, link);
  void sleep(earlyMs, undefined, { ref: false }).then(() => {
    if (core.early.get(id) !== link) return;
    core.early.delete(id);
    link.finish({ code: 137, signal: 9 });
  });
  return link;
}

/** The link of a container that is being made: its shim may be there already. */
export function takeLink(core: Core, id: string): ProcessLink {
  const link = core.early.get(id) ?? processLink(containerEvents(core, id));
  core.early.delete(id);
  return link;
}

/** The link of a command beside a container's own process. */
export function execLink(core: Core, container: string, exec: string): ProcessLink {
  return processLink(linkEvents(core, () => core.containers.get(container)?.execs.get(exec)));
}

function containerEvents(core: Core, id: string): LinkEvents {
  return linkEvents(
    core,
    () => core.containers.get(id),
    // The end of a container's first process is the end of all.
    (container) => core.machine().then(({ agent }) => agent.signalContainer(container.record.id, 9, true)),
  );
}

function linkEvents<T extends Running>(
  core: Core,
  find: () => T | undefined,
  kill?: (running: T) => Promise<void>,
): LinkEvents {
  const quietly = (work: Promise<void> | undefined, what: string) =>
    work?.catch((error) => core.say(`cannot ${what}`, { error: messageOf(error) }));
  return {
    signal: (number) => void quietly(find()?.process?.signal(number), `pass on signal ${number}`),
    resize: (size) => void quietly(find()?.process?.resize(size), 'resize a terminal'),
    gone() {
      const running = find();
      if (running?.process === undefined || core.life.phase !== 'ready') return;
      core.say('a shim has ended before its process', { handle: running.process.handle });
      // With what a command has started: its caller gave it up, and expects nothing of it to go on.
      const killed = kill?.(running) ?? running.process.signal(9, { all: true });
      void quietly(killed, 'kill what a dead shim stood for');
    },
  };
}

/** Brings the streams of a process together with its shim. */
export function bindProcess({ link, process }: Running): void {
  if (process !== undefined) link.bind(process);
}
