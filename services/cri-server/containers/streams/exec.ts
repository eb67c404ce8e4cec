/**
 * Interactive commands. The OCI runtime runs the command in the foreground, so its exit code is exact and the
 * command ends with the session; pipes or a terminal are its standard streams.
 */
import { randomBytes } from 'node:crypto';
import { closeSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { wrapError } from '#foundation/base/errors.ts';
import { listenForTerminal } from '#foundation/linux/console-socket.ts';
import { openPipe, pipeStream } from '#foundation/linux/spawn.ts';
import { openTerminal, resizeTerminalOf, type Terminal } from '#foundation/linux/terminal.ts';
import type { SessionStreams } from '../../ports.ts';
import type { Core } from '../deps.ts';
import { type ExecCommand, type RunningExec, startExec } from '../exec-start.ts';
import { pumpIn, pumpOut } from './pump.ts';

/** Milliseconds after a command's end in which its terminal, sent before, is looked for. */
const sentBeforeEndMs = 1000;

/** Runs a command for a client. @returns its exit code. */
export async function exec(core: Core, command: ExecCommand, streams: SessionStreams): Promise<number> {
  try {
    return command.tty ? await withTerminal(core, command, streams) : await withPipes(core, command, streams);
  } catch (error) {
    throw wrapError(
      error,
      `Cannot run ${JSON.stringify(command.command[0] ?? '')} in container "${command.containerId}"`,
    );
  }
}

async function withPipes(core: Core, command: ExecCommand, streams: SessionStreams): Promise<number> {
  const [input, output, errors] = [openPipe(), openPipe(), openPipe()];
  const [stdin, stdout, stderr] = [
    pipeStream(input.write, 'write'),
    pipeStream(output.read, 'read'),
    pipeStream(errors.read, 'read'),
  ];
  try {
    const fds = { 0: input.read, 1: output.write, 2: errors.write };
    const running = await startExec(core, command, fds).finally(() => {
      for (const fd of Object.values(fds)) closeSync(fd);
    });
    pumpIn(streams.stdin, stdin);
    return await untilEnd(running, streams, [
      pumpOut(stdout, streams.stdout, running.exited),
      pumpOut(stderr, streams.stderr, running.exited),
    ]);
  } finally {
    streams.stdin?.unpipe(stdin);
    for (const stream of [stdin, stdout, stderr]) stream.destroy();
  }
}

function withTerminal(core: Core, command: ExecCommand, streams: SessionStreams): Promise<number> {
  const { record } = core.table.get(command.containerId);
  const { features } = core.runtimes.driver(record.runtime);
  return (features.execConsoleSocket ? withSentTerminal : withOwnTerminal)(core, command, streams);
}

/** The runtime sends the command's terminal and does not stand between: crun's relay loses output at the end. */
async function withSentTerminal(core: Core, command: ExecCommand, streams: SessionStreams): Promise<number> {
  const directory = join(core.paths.run, 'exec');
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  using socket = await listenForTerminal(join(directory, `${randomBytes(8).toString('hex')}.sock`));
  const running = await startExec(core, command, {}, { consoleSocket: socket.path });
  // The end may be seen before the terminal that was sent in time.
  const ended = running.exited.then(() => sleep(sentBeforeEndMs));
  const terminal = await Promise.race([socket.terminal, ended]);
  if (terminal === undefined) return (await running.exited).code;
  return carry(running, terminal, streams, (size) => terminal.resize(size));
}

/** The runtime gets a terminal of ours and carries bytes between it and the command's. */
async function withOwnTerminal(core: Core, command: ExecCommand, streams: SessionStreams): Promise<number> {
  const terminal = openTerminal();
  try {
    const running = await startExec(core, command, {}, { terminal: terminal.path });
    return await carry(running, terminal, streams, (size) => resize(terminal, running, size));
  } finally {
    terminal.stream.destroy();
  }
}

/** Carries bytes and sizes between a client and a terminal until the command has ended; destroys the stream. */
async function carry(
  running: RunningExec,
  { stream }: Terminal,
  streams: SessionStreams,
  resizeTo: (size: { width: number; height: number }) => void | Promise<void>,
): Promise<number> {
  try {
    // A terminal has no half-close: a client that wants to end the input sends ^D.
    if (streams.stdin !== undefined) pumpIn(streams.stdin, stream, false);
    void followSizes(streams, resizeTo);
    return await untilEnd(running, streams, [pumpOut(stream, streams.stdout, running.exited)]);
  } finally {
    streams.stdin?.unpipe(stream);
    stream.destroy();
  }
}

/** The terminal of ours is what the runtime reads at its start; the command has one of its own. */
async function resize(
  terminal: Terminal,
  running: RunningExec,
  size: { width: number; height: number },
): Promise<void> {
  terminal.resize(size);
  while (running.pid() === undefined && !terminal.stream.destroyed) await sleep(20);
  const pid = running.pid();
  if (pid !== undefined && !terminal.stream.destroyed) resizeTerminalOf(pid, size);
}

/** Waits for the command and for its output to be passed on; a client that leaves takes the command with it. */
async function untilEnd(
  running: RunningExec,
  { signal }: SessionStreams,
  outputs: Promise<void>[],
): Promise<number> {
  const leave = () => void running.killTree();
  signal.addEventListener('abort', leave, { once: true });
  if (signal.aborted) leave();
  try {
    const { code } = await running.exited;
    await Promise.all(outputs);
    return code;
  } finally {
    signal.removeEventListener('abort', leave);
  }
}

/** Passes on the sizes that the client sends, until it sends no more. */
export async function followSizes(
  { resizes, signal }: SessionStreams,
  resize: (size: { width: number; height: number }) => void | Promise<void>,
): Promise<void> {
  try {
    for await (const size of resizes) {
      if (signal.aborted) return;
      await resize(size);
    }
  } catch {
    // The session is over; there is nothing left to resize.
  }
}
