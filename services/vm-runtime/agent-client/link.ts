/** A connection to the agent: frames to and fro, calls and their replies, streams by their numbers. */
import type { Socket } from 'node:net';
import { constants as osConstants } from 'node:os';
import {
  create,
  type DescMessage,
  fromBinary,
  type MessageInitShape,
  type MessageShape,
  toBinary,
} from '@bufbuild/protobuf';
import { CallSchema, type Event, EventSchema, type Reply, ReplySchema } from '#contracts/vm/agent_pb.ts';
import { codeFromErrno, SkiffError, wrapError } from '#foundation/base/errors.ts';
import {
  decodeCredit,
  encodeCredit,
  encodeFrame,
  type Frame,
  frameReader,
  frameType,
  garbage,
} from './frames.ts';
import { cleanText } from './text.ts';
import type { AgentCallOptions } from './types.ts';

/** One call's arm of the protocol's `Call`. */
export type CallShape = NonNullable<MessageInitShape<typeof CallSchema>['call']>;

/** What takes the frames of one stream. */
export interface StreamEnd {
  data?(bytes: Buffer): void;
  end?(): void;
  credit?(consumed: number, limit: number): void;
  reset?(): void;
  /** The connection has ended: nothing more will come. */
  broken(why: SkiffError): void;
}

/** A connection. */
export interface Link {
  readonly closed: Promise<SkiffError>;
  /** Why it has ended, once it has. */
  readonly ended: SkiffError | undefined;
  /** Makes a call and waits for its reply. @throws SkiffError of what the agent said, or DEADLINE_EXCEEDED. */
  call(what: string, call: CallShape, defaultMs: number, options?: AgentCallOptions): Promise<Reply>;
  onEvent(listener: (event: Event) => void): () => void;
  /** Who gets the frames of stream `id`, until `closeStream`. */
  openStream(id: number, end: StreamEnd): void;
  closeStream(id: number): void;
  sendData(id: number, bytes: Uint8Array): void;
  sendEnd(id: number): void;
  sendReset(id: number): void;
  sendCredit(id: number, consumed: number, limit: number): void;
  sendRaw(bytes: Uint8Array): void;
  close(why: SkiffError): void;
}

interface Waiting {
  what: string;
  resolve(reply: Reply): void;
  reject(error: SkiffError): void;
}

/** Frames that nobody asked for: so many at once, and so many each second. A guest that sends more is ended. */
const unaskedBurst = 20_000;
const unaskedEachSecond = 2_000;
/** Events that wait for the first listener, each of up to 64 KiB: those that come with the answer to the greeting. */
const mostEarly = 1000;

/** Takes over a connected socket. @param greeted called when the agent has answered the greeting. */
export function openLink(socket: Socket, nonce: Uint8Array, greeted: () => void): Link {
  const calls = new Map<number, Waiting>();
  const streams = new Map<number, StreamEnd>();
  const listeners = new Set<(event: Event) => void>();
  const early: Event[] = [];
  const closed = Promise.withResolvers<SkiffError>();
  let ended: SkiffError | undefined;
  let lastCall = 0;
  const close = (why: SkiffError) => {
    if (ended !== undefined) return;
    ended = why;
    socket.destroy();
    for (const waiting of calls.values()) waiting.reject(wrapError(why, waiting.what));
    calls.clear();
    for (const stream of streams.values()) stream.broken(why);
    streams.clear();
    closed.resolve(why);
  };
  const take = dispatcher({ calls, streams, listeners, early, lastCall: () => lastCall });
  const reader = frameReader(nonce, greeted, (frame) => {
    if (ended === undefined) take(frame);
  });
  socket.on('data', (bytes: Buffer) => {
    if (ended !== undefined) return;
    try {
      reader.push(bytes);
    } catch (error) {
      close(wrapError(error, 'Cannot go on with the guest'));
    }
  });
  const gone = () => close(new SkiffError('UNAVAILABLE', "The connection to the guest's agent has ended"));
  socket.on('error', (error) => close(wrapError(error, "The connection to the guest's agent broke")));
  socket.on('end', gone);
  socket.on('close', gone);
  const send = (bytes: Uint8Array) => {
    if (ended === undefined) socket.write(bytes);
  };
  return {
    closed: closed.promise,
    get ended() {
      return ended;
    },
    async call(what, call, defaultMs, options) {
      if (ended !== undefined) throw wrapError(ended, what);
      const id = ++lastCall;
      const frame = encodeFrame(frameType.call, id, toBinary(CallSchema, create(CallSchema, { call })));
      const reply = new Promise<Reply>((resolve, reject) => calls.set(id, { what, resolve, reject }));
      send(frame);
      try {
        return checked(what, await within(what, reply, defaultMs, options));
      } finally {
        calls.delete(id);
      }
    },
    onEvent(listener) {
      listeners.add(listener);
      for (const event of early.splice(0)) listener(event);
      return () => void listeners.delete(listener);
    },
    openStream: (id, end) => (ended === undefined ? void streams.set(id, end) : end.broken(ended)),
    closeStream: (id) => void streams.delete(id),
    sendData: (id, bytes) => send(encodeFrame(frameType.data, id, bytes)),
    sendEnd: (id) => send(encodeFrame(frameType.end, id)),
    sendReset: (id) => send(encodeFrame(frameType.reset, id)),
    sendCredit: (id, consumed, limit) =>
      send(encodeFrame(frameType.credit, id, encodeCredit(consumed, limit))),
    sendRaw: send,
    close,
  };
}

/** What waits for the guest's frames. */
interface Receivers {
  calls: Map<number, Waiting>;
  streams: ReadonlyMap<number, StreamEnd>;
  listeners: ReadonlySet<(event: Event) => void>;
  /** What came right behind the greeting's reply, before anybody listened. */
  early: Event[];
  /** The number of the latest call. */
  lastCall(): number;
}

/** @returns what hands each frame to whom it is for. */
function dispatcher({ calls, streams, listeners, early, lastCall }: Receivers): (frame: Frame) => void {
  const spend = budget();
  const takeReply = ({ id, payload }: Frame) => {
    if (id === 0 || id > lastCall()) throw garbage('a reply to what was not asked');
    const waiting = calls.get(id);
    // The caller of a late one has gone.
    if (waiting === undefined) return spend();
    // First: where it cannot be read, the end of the connection is told to whoever waits.
    const reply = decode(ReplySchema, payload);
    calls.delete(id);
    waiting.resolve(reply);
  };
  const takeEvent = ({ payload }: Frame) => {
    spend();
    const event = decode(EventSchema, payload);
    // None is dropped, as it may be the end of a process; but the budget alone would let gigabytes wait.
    if (early.length >= mostEarly) throw garbage('events instead of its answer to the greeting');
    if (listeners.size === 0) early.push(event);
    for (const listener of listeners) listener(event);
  };
  return (frame) => {
    if (frame.type === frameType.reply) return takeReply(frame);
    if (frame.type === frameType.event) return takeEvent(frame);
    const stream = streams.get(frame.id);
    if (stream === undefined) return spend();
    toStream(stream, frame);
  };
}

function toStream(stream: StreamEnd, frame: Frame): void {
  if (frame.type === frameType.credit) {
    const { consumed, limit } = decodeCredit(frame.payload);
    stream.credit?.(consumed, limit);
  } else if (frame.type === frameType.data) {
    if (stream.data === undefined) throw garbage('data by a stream that goes the other way');
    stream.data(frame.payload);
  } else if (frame.type === frameType.end) stream.end?.();
  else stream.reset?.();
}

/** A bucket of tokens. @returns takes one. */
function budget(): () => void {
  let left = unaskedBurst;
  let at = performance.now();
  return () => {
    const now = performance.now();
    left = Math.min(unaskedBurst, left + ((now - at) / 1000) * unaskedEachSecond) - 1;
    at = now;
    if (left < 0) throw garbage('more messages than anybody asked for');
  };
}

function decode<T extends DescMessage>(schema: T, payload: Buffer): MessageShape<T> {
  try {
    // Its bytes belong to the reader, which may use the memory again.
    return fromBinary(schema, Buffer.from(payload));
  } catch (error) {
    throw garbage(`a message that cannot be read (${(error as Error).message})`);
  }
}

const errnoNames = new Map(Object.entries(osConstants.errno).map(([name, number]) => [number, name]));

function checked(what: string, reply: Reply): Reply {
  if (reply.errno === 0) return reply;
  const errno = errnoNames.get(reply.errno) ?? 'EIO';
  throw new SkiffError(codeFromErrno(errno), `${what}: ${cleanText(reply.message, 500) || errno}`, { errno });
}

async function within(
  what: string,
  reply: Promise<Reply>,
  defaultMs: number,
  options: AgentCallOptions = {},
): Promise<Reply> {
  const ms = options.deadlineMs ?? defaultMs;
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(
    () =>
      late.reject(new SkiffError('DEADLINE_EXCEEDED', `${what}: the guest did not answer within ${ms} ms`)),
    ms,
  );
  const cancel = () => late.reject(new SkiffError('CANCELLED', `${what}: cancelled`));
  options.signal?.addEventListener('abort', cancel, { once: true });
  if (options.signal?.aborted) cancel();
  reply.catch(() => {}); // It may fail after the caller has gone.
  try {
    return await Promise.race([reply, late.promise]);
  } finally {
    clearTimeout(timer);
    options.signal?.removeEventListener('abort', cancel);
  }
}
