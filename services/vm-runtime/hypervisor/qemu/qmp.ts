/**
 * A client of QMP, QEMU's control protocol: one JSON object a line, commands with ids, events between
 * (QEMU's docs/interop/qmp-spec). A QEMU that a guest took over must not harm us: lines are bounded, and what is no
 * answer ends the connection.
 */
import { connect, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { errnoOf, SkiffError, wrapError } from '#foundation/base/errors.ts';
import { withDeadline } from '#foundation/base/time.ts';
import { sendDescriptors } from '#foundation/linux/unix-fds.ts';

/** Bytes of the longest line that is believed. */
const longestLine = 1024 * 1024;
/** Milliseconds that a command may take unless told. */
export const commandMs = 10_000;

/** Something that QEMU tells by itself. */
export interface QmpEvent {
  event: string;
  data: Record<string, unknown>;
}

/** How to run a command. */
export interface QmpOptions {
  /** Milliseconds; 10,000 unless told. */
  deadlineMs?: number;
  signal?: AbortSignal;
  /** Descriptors that go with it (`getfd`, `add-fd`). */
  fds?: readonly number[];
}

/** A connection. */
export interface Qmp {
  /**
   * Runs a command.
   *
   * @returns what it returns.
   * @throws SkiffError FAILED_PRECONDITION with QEMU's words, DEADLINE_EXCEEDED, UNAVAILABLE when the connection ended.
   */
  execute(command: string, parameters?: Record<string, unknown>, options?: QmpOptions): Promise<unknown>;
  /** @returns a function that unsubscribes. */
  onEvent(listener: (event: QmpEvent) => void): () => void;
  /** Resolves, never rejects, when the connection has ended. */
  readonly closed: Promise<void>;
  close(): void;
}

interface Waiting {
  command: string;
  resolve(value: unknown): void;
  reject(error: Error): void;
}

/**
 * Connects and greets; waits for a socket that nobody accepts on yet.
 *
 * @throws SkiffError UNAVAILABLE, DEADLINE_EXCEEDED after 10 s.
 */
export async function connectQmp(path: string, options: { signal?: AbortSignal } = {}): Promise<Qmp> {
  const what = `Connecting to QEMU at "${path}"`;
  let socket: Socket | undefined;
  try {
    return await withDeadline(
      what,
      commandMs,
      async (signal) => {
        socket = await dial(path, signal);
        const qmp = serve(socket);
        await qmp.greeted;
        await qmp.execute('qmp_capabilities', {}, { signal });
        return qmp;
      },
      options.signal,
    );
  } catch (error) {
    socket?.destroy();
    throw wrapError(error, 'Cannot control QEMU');
  }
}

/** The listening socket is made before QEMU, so this waits for nothing unless QEMU is ending. */
async function dial(path: string, signal: AbortSignal): Promise<Socket> {
  for (;;) {
    const socket = connect(path);
    try {
      await new Promise<void>((resolve, reject) => {
        socket.once('connect', resolve);
        socket.once('error', reject);
      });
      return socket;
    } catch (error) {
      if (errnoOf(error) !== 'EAGAIN') throw error;
      await sleep(10, undefined, { signal });
    }
  }
}

function serve(socket: Socket): Qmp & { greeted: Promise<void> } {
  const waiting = new Map<number, Waiting>();
  const listeners = new Set<(event: QmpEvent) => void>();
  const greeting = Promise.withResolvers<void>();
  greeting.promise.catch(() => {});
  const closed = Promise.withResolvers<void>();
  let next = 0;
  let failure = new SkiffError('UNAVAILABLE', 'QEMU closed its control connection');
  const fail = (why: string) => {
    failure = new SkiffError('DATA_LOSS', `QEMU's control connection ended: ${why}`);
    socket.destroy();
  };
  socket.on('error', () => {}); // 'close' follows.
  socket.on('close', () => {
    greeting.reject(failure);
    for (const each of waiting.values()) each.reject(failure);
    waiting.clear();
    closed.resolve();
  });
  const take = (message: Record<string, unknown>) => {
    if (message.QMP !== undefined) greeting.resolve();
    else if (typeof message.event === 'string')
      for (const listener of listeners) listener({ event: message.event, data: recordOf(message.data) });
    else settle(waiting, message);
  };
  readLines(socket, take, fail);
  return {
    greeted: greeting.promise,
    closed: closed.promise,
    execute: (command, parameters = {}, options = {}) => {
      const id = next++;
      const line = `${JSON.stringify({ execute: command, arguments: parameters, id })}\n`;
      const run = async () => {
        if (socket.destroyed) throw failure;
        const { promise, resolve, reject } = Promise.withResolvers<unknown>();
        waiting.set(id, { command, resolve, reject });
        promise.catch(() => {});
        await send(socket, line, options.fds);
        return await promise;
      };
      const ms = options.deadlineMs ?? commandMs;
      return withDeadline(`QEMU's ${command}`, ms, run, options.signal).finally(() => waiting.delete(id));
    },
    onEvent: (listener) => {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
    close: () => void socket.destroy(),
  };
}

async function send(socket: Socket, line: string, fds: readonly number[] | undefined): Promise<void> {
  if (fds === undefined) return void socket.write(line);
  while (socket.writableLength > 0) await new Promise((resolve) => socket.once('drain', resolve));
  sendDescriptors(socket, line, fds);
}

/** Answers one that waits. An answer that nobody waits for came too late. */
function settle(waiting: Map<number, Waiting>, message: Record<string, unknown>): void {
  const one = waiting.get(Number(message.id));
  if (one === undefined) return;
  if (message.error === undefined) return void one.resolve(message.return);
  const text = String(recordOf(message.error).desc).slice(0, 2000);
  one.reject(new SkiffError('FAILED_PRECONDITION', `QEMU refused ${one.command}: ${text}`));
}

function readLines(
  socket: Socket,
  take: (message: Record<string, unknown>) => void,
  fail: (why: string) => void,
): void {
  let rest = '';
  socket.setEncoding('utf8');
  socket.on('data', (chunk: string) => {
    const lines = (rest + chunk).split('\n');
    rest = lines.pop() ?? '';
    if (rest.length > longestLine) return fail('a line is longer than 1 MiB');
    for (const line of lines) {
      if (line.trim() === '') continue;
      try {
        take(recordOf(JSON.parse(line)));
      } catch {
        return fail(`it sent what is no JSON: ${JSON.stringify(line.slice(0, 100))}`);
      }
    }
  });
}

/** An object as it came; anything else as an empty one. */
export function recordOf(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
}
