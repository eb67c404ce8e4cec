/**
 * One process in the guest and the shim that stands for it on the host. The shim may come before the guest has the
 * process, and a new supervisor may find both already there; the link brings them together.
 *
 *     waiting (shim or guest missing) --> linked --> ended (the shim has been told how)
 */
import type { Socket } from 'node:net';
import { SkiffError } from '#foundation/base/errors.ts';
import type { GuestProcess } from '../../agent-client/types.ts';
import { type InputRelay, inputRelay } from './input-relay.ts';
import { type OutputRelay, outputRelay } from './output-relay.ts';
import type { ShimConnection } from './server.ts';

/** How a process ended, as the shim is told. */
export interface LinkExit {
  code: number;
  signal: number;
  /** Bytes of each output that were written by then, where that is known. */
  written?: { stdout: number; stderr: number };
}

/** What a link tells its owner. */
export interface LinkEvents {
  /** The shim was sent a signal. */
  signal(number: number): void;
  /** The shim's terminal has another size. */
  resize(size: { columns: number; rows: number }): void;
  /** The shim has ended, or was killed, before the process in the guest. */
  gone(): void;
}

/** A link. */
export interface ProcessLink {
  /** A shim's connection. */
  connect(connection: ShimConnection, socket: Socket): void;
  /** The guest has the process. It forgets of its outputs only what the shim has. */
  bind(process: GuestProcess): void;
  /** Resolves when a shim is there; rejects if it said that it cannot do its work, or did not come in time. */
  shim(deadlineMs: number): Promise<void>;
  /** The process has ended. The shim is told when it has all that the process wrote. Only the first end counts. */
  finish(exit: LinkExit): void;
  /** Resolves when the shim was told, or went after the process's end: nothing of the process is needed any more. */
  readonly done: Promise<void>;
  /** Whether a shim is connected. */
  readonly connected: boolean;
  /** The counts of outputs that a waiting shim has told; for a process that is found again. */
  counts(): { stdout?: number; stderr?: number };
}

type StreamKind = 'in' | 'out' | 'err';

/** Milliseconds without output after all of an ended process's own: what it left behind may hold the streams open. */
const quietMs = 100;

/** Makes a link with neither side. */
export function processLink(events: LinkEvents): ProcessLink {
  const waiting = new Map<StreamKind, { socket: Socket; count: number }>();
  const shimCame = Promise.withResolvers<void>();
  shimCame.promise.catch(() => {});
  let relays: { in: InputRelay; out: OutputRelay; err: OutputRelay } | undefined;
  let control: Socket | undefined;
  let hasCome = false;
  const end = endOf((exit) => {
    if (control !== undefined) tell(control, exit);
  });
  const attach = (kind: StreamKind, socket: Socket, count: number) => {
    if (relays === undefined) {
      waiting.get(kind)?.socket.destroy();
      waiting.set(kind, { socket, count });
    } else if (kind === 'in') relays.in.attach(socket);
    else relays[kind].attach(socket, count);
  };
  const takeControl = (socket: Socket) => {
    control?.destroy();
    control = socket;
    hasCome = true;
    const failed = (why: string) => shimCame.reject(new SkiffError('FAILED_PRECONDITION', why));
    readControl(socket, events, failed, shimCame.resolve);
    if (end.told !== undefined) tell(socket, end.told);
    socket.once('close', () => {
      if (control !== socket) return;
      control = undefined;
      if (end.isKnown) end.needNotBeTold();
      else events.gone();
    });
  };
  return {
    connect(connection, socket) {
      if (connection.kind === 'control') takeControl(socket);
      else attach(connection.kind as StreamKind, socket, connection.count);
    },
    bind(process) {
      const { stdout, stderr } = process.positions();
      relays = {
        in: inputRelay(process),
        out: outputRelay(process.stdout, stdout, (count) => process.confirm('stdout', count), end.look),
        err: outputRelay(process.stderr, stderr, (count) => process.confirm('stderr', count), end.look),
      };
      end.outputs = { stdout: relays.out, stderr: relays.err };
      for (const [kind, { socket, count }] of waiting) attach(kind, socket, count);
      waiting.clear();
    },
    done: end.done,
    shim: (deadlineMs) => within(shimCame.promise, deadlineMs),
    finish(how) {
      end.come(how);
      if (hasCome && control === undefined) end.needNotBeTold();
      // A process that the guest lost has no output to come.
      for (const { socket } of waiting.values()) socket.end(Buffer.alloc(4));
      waiting.clear();
    },
    get connected() {
      return control !== undefined;
    },
    counts: () => ({ stdout: waiting.get('out')?.count, stderr: waiting.get('err')?.count }),
  };
}

/**
 * The end of a process, which is told when the shim has all that the process wrote: the news of it overtakes the output,
 * in the guest and here.
 */
function endOf(tellIt: (exit: LinkExit) => void) {
  const done = Promise.withResolvers<void>();
  let exit: LinkExit | undefined;
  let quiet: NodeJS.Timeout | undefined;
  const tellNow = (how: LinkExit) => {
    end.told = how;
    done.resolve();
    tellIt(how);
  };
  const look = () => {
    if (exit === undefined || end.told !== undefined) return;
    clearTimeout(quiet);
    const { stdout = 0, stderr = 0 } = exit.written ?? {};
    const outputs = end.outputs === undefined ? [] : [end.outputs.stdout, end.outputs.stderr];
    const written = [stdout, stderr];
    if (outputs.some(({ isEmpty }) => !isEmpty)) return;
    if (outputs.every(({ isEnded }) => isEnded)) return tellNow(exit);
    if (outputs.some(({ isEnded, taken }, index) => !isEnded && taken < (written[index] ?? 0))) return;
    quiet = setTimeout(tellNow, quietMs, exit);
  };
  const end = {
    /** The outputs, once there are any. */
    outputs: undefined as { stdout: OutputRelay; stderr: OutputRelay } | undefined,
    /** What was told. */
    told: undefined as LinkExit | undefined,
    done: done.promise,
    get isKnown() {
      return exit !== undefined;
    },
    /** The process has ended; the first news counts. */
    come(how: LinkExit) {
      exit ??= how;
      look();
    },
    /** An output has moved. */
    look,
    /** There is no shim any more. */
    needNotBeTold: () => done.resolve(),
  };
  return end;
}

function tell(socket: Socket, { code, signal }: LinkExit): void {
  const message = Buffer.alloc(8);
  message.writeUInt32BE(code, 0);
  message.writeUInt32BE(signal, 4);
  socket.write(message);
}

function readControl(
  socket: Socket,
  events: LinkEvents,
  failed: (why: string) => void,
  ready: () => void,
): void {
  let rest: Buffer = Buffer.alloc(0);
  let why: number | undefined;
  socket.on('data', (chunk: Buffer) => {
    rest = Buffer.concat([rest, chunk]);
    while (rest.length >= 9 && why === undefined) {
      const [kind, first, second] = [rest[0], rest.readUInt32BE(1), rest.readUInt32BE(5)];
      rest = rest.subarray(9);
      if (kind === 4) ready();
      else if (kind === 1) events.signal(first);
      else if (kind === 2) events.resize({ columns: Math.min(first, 65535), rows: Math.min(second, 65535) });
      else if (kind === 3 && first <= 1024) why = first;
      else return void socket.destroy();
    }
    if (why === undefined || rest.length < why) return;
    failed(rest.toString('utf8', 0, why));
  });
  socket.resume();
}

function within(promise: Promise<void>, ms: number): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(
      () => reject(new SkiffError('DEADLINE_EXCEEDED', `no shim attached to the process within ${ms} ms`)),
      ms,
    );
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}
