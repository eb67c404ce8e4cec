/**
 * A SPDY/3.1 session over any Duplex, after the HTTP upgrade: as server and as client.
 *
 * Reading is one loop that stops while a stream's buffer is full, so memory stays bounded also with peers
 * that know no flow control; sending waits for the transport and for the peer's windows.
 */
import type { Duplex } from 'node:stream';
import { messageOf, SkiffError } from '#foundation/base/errors.ts';
import {
  type ControlFrame,
  controlFrame,
  dataHead,
  flagFin,
  flagUnidirectional,
  frameType,
  initialWindowOf,
  resetStatus,
  settingsFrame,
  words,
} from './frames.ts';
import { type Headers, headerCodec } from './header-codec.ts';
import { frameParser } from './parser.ts';
import { SpdyStream, type StreamPort } from './stream.ts';
import { type Transport, transportOver } from './transport.ts';
import { sendWindows, streamWindow } from './window.ts';

/** What a session is made of. */
export interface SpdySessionOptions {
  /** The upgraded connection. */
  transport: Duplex;
  /** Bytes that came with the upgrade. */
  head?: Buffer;
  role: 'client' | 'server';
  /** Gets each stream that the peer opens; it must `reply()` or `destroy()`. */
  onStream?: (stream: SpdyStream) => void;
  /** Streams that the peer may have open at once; 1000 unless told. */
  maxStreams?: number;
  /** Milliseconds between pings, which find out that the peer vanished; 30,000 unless told. */
  pingIntervalMs?: number;
  /** Milliseconds without any byte after which the session ends; none unless told. */
  idleTimeoutMs?: number;
}

/** A running session. */
export interface SpdySession {
  /** Opens a stream and waits for the peer's reply. @throws SkiffError UNAVAILABLE if it refuses or is gone. */
  open(headers: Headers): Promise<SpdyStream>;
  /** Sends GOAWAY, then ends the transport and waits until the peer has read all, up to 2 s. */
  close(): Promise<void>;
  /** Ends at once. */
  destroy(error?: Error): void;
  /** Aborts when the session is over, however it ended. */
  readonly signal: AbortSignal;
}

interface Parts {
  options: SpdySessionOptions;
  transport: Transport;
  codec: ReturnType<typeof headerCodec>;
  windows: ReturnType<typeof sendWindows>;
  streams: Map<number, SpdyStream>;
  replies: Map<number, PromiseWithResolvers<void>>;
  lastPeerId: number;
  nextId: number;
  goneAway: boolean;
}

/** Starts a session; it ends by itself when the transport does. */
export function createSpdySession(options: SpdySessionOptions): SpdySession {
  const over = new AbortController();
  const parts: Parts = {
    options,
    transport: transportOver(options.transport, options),
    codec: headerCodec(),
    windows: sendWindows(),
    streams: new Map(),
    replies: new Map(),
    lastPeerId: 0,
    nextId: options.role === 'client' ? 1 : 2,
    goneAway: false,
  };
  const end = (error: Error | undefined, each: (stream: SpdyStream, reason: SkiffError) => void) => {
    if (over.signal.aborted) return;
    const reason = new SkiffError('UNAVAILABLE', error?.message ?? 'The streaming connection is closed');
    over.abort(reason);
    parts.windows.close();
    for (const reply of parts.replies.values()) reply.reject(reason);
    for (const stream of [...parts.streams.values()]) each(stream, reason);
    parts.codec.close();
    parts.transport.destroy();
  };
  const destroy = (error?: Error) => end(error, (stream, reason) => stream.destroy(reason));
  const lost = (error?: Error) => end(error, (stream, reason) => stream.breakOff(reason, 'session'));
  void readAll(parts).then(() => lost(), lost);
  parts.transport.send(settingsFrame(streamWindow));
  return {
    open: (headers) => openStream(parts, over.signal, headers),
    close: async () => {
      if (!over.signal.aborted) {
        parts.transport.send(controlFrame(frameType.goAway, 0, words(parts.lastPeerId, 0)));
        for (const stream of [...parts.streams.values()]) stream.destroy();
        await parts.transport.end();
      }
      destroy();
    },
    destroy,
    signal: over.signal,
  };
}

async function readAll(parts: Parts): Promise<void> {
  const parse = frameParser();
  let unacknowledged = 0;
  for await (const chunk of parts.transport.chunks(parts.options.head)) {
    for (const frame of parse(chunk)) {
      if (frame.kind === 'control') await handleControl(parts, frame);
      else {
        unacknowledged += frame.bytes.length;
        const wait = parts.streams.get(frame.streamId)?.receive(frame.bytes, frame.fin);
        if (wait !== undefined) await wait;
      }
    }
    // The session's window never holds the peer back: each stream's own does.
    if (unacknowledged > 0) {
      parts.transport.send(controlFrame(frameType.windowUpdate, 0, words(0, unacknowledged)));
    }
    unacknowledged = 0;
  }
}

async function handleControl(parts: Parts, frame: ControlFrame): Promise<void> {
  const { type, body } = frame;
  const word = (index: number): number => {
    if (body.length >= (index + 1) * 4) return body.readUInt32BE(index * 4);
    throw new SkiffError('INVALID_ARGUMENT', `Cannot read a SPDY frame of type ${type}: it is cut short`);
  };
  if (type === frameType.synStream) {
    await acceptStream(parts, frame, word(0) & 0x7fffffff);
  } else if (type === frameType.synReply) {
    await parts.codec.decompress(body.subarray(4));
    parts.replies.get(word(0))?.resolve();
    parts.replies.delete(word(0));
    if ((frame.flags & flagFin) !== 0) parts.streams.get(word(0))?.receive(Buffer.alloc(0), true);
  } else if (type === frameType.headers) {
    await parts.codec.decompress(body.subarray(4));
    if ((frame.flags & flagFin) !== 0) parts.streams.get(word(0))?.receive(Buffer.alloc(0), true);
  } else if (type === frameType.rstStream) {
    refuse(parts, word(0), word(1));
  } else if (type === frameType.settings) {
    const initial = initialWindowOf(body);
    if (initial !== undefined) parts.windows.setInitial(initial, parts.streams.values());
  } else if (type === frameType.windowUpdate) {
    const stream = parts.streams.get(word(0));
    if (word(0) === 0 || stream !== undefined) parts.windows.update(stream, word(1) & 0x7fffffff);
  } else if (type === frameType.ping) {
    const fromPeer = word(0) % 2 === (parts.options.role === 'server' ? 1 : 0);
    if (fromPeer) parts.transport.send(controlFrame(frameType.ping, 0, words(word(0))));
  } else if (type === frameType.goAway) {
    parts.goneAway = true;
  }
}

function refuse(parts: Parts, id: number, status: number): void {
  const error = new SkiffError('UNAVAILABLE', `The peer reset stream ${id} (status ${status})`);
  const reply = parts.replies.get(id);
  if (reply !== undefined) reply.reject(error);
  else parts.streams.get(id)?.breakOff(error, 'reset');
}

async function acceptStream(parts: Parts, frame: ControlFrame, id: number): Promise<void> {
  const { options, streams, transport } = parts;
  if (frame.body.length < 10) throw new SkiffError('INVALID_ARGUMENT', 'A SYN_STREAM frame is cut short');
  // Decompressed also if refused: all blocks share one zlib stream.
  const headers = await parts.codec.decompress(frame.body.subarray(10));
  const reset = (status: number) => transport.send(controlFrame(frameType.rstStream, 0, words(id, status)));
  const parity = options.role === 'server' ? 1 : 0;
  if (id % 2 !== parity || id <= parts.lastPeerId) return reset(resetStatus.protocolError);
  parts.lastPeerId = id;
  if (options.onStream === undefined || streams.size >= (options.maxStreams ?? 1000)) {
    return reset(resetStatus.refusedStream);
  }
  const stream = new SpdyStream(streamPort(parts), id, headers, parts.windows.initial);
  streams.set(id, stream);
  if ((frame.flags & flagUnidirectional) !== 0) stream.end();
  if ((frame.flags & flagFin) !== 0) stream.receive(Buffer.alloc(0), true);
  options.onStream(stream);
}

async function openStream(parts: Parts, over: AbortSignal, headers: Headers): Promise<SpdyStream> {
  over.throwIfAborted();
  if (parts.goneAway) throw new SkiffError('UNAVAILABLE', 'Cannot open a stream: the peer is going away');
  const id = parts.nextId;
  parts.nextId += 2;
  const stream = new SpdyStream(streamPort(parts), id, headers, parts.windows.initial);
  parts.streams.set(id, stream);
  const reply = Promise.withResolvers<void>();
  parts.replies.set(id, reply);
  try {
    await parts.transport.sendInOrder(async () => {
      const block = await parts.codec.compress(headers);
      const body = Buffer.concat([words(id, 0), Buffer.alloc(2), block]);
      return controlFrame(frameType.synStream, 0, body);
    });
    await reply.promise;
    return stream;
  } catch (error) {
    stream.destroy();
    throw new SkiffError('UNAVAILABLE', `Cannot open a stream: ${messageOf(error)}`, { cause: error });
  } finally {
    parts.replies.delete(id);
  }
}

function streamPort(parts: Parts): StreamPort {
  const { transport, windows, streams } = parts;
  return {
    sendData: async (stream, bytes, fin) => {
      if (stream.replying !== undefined) await stream.replying;
      let rest = bytes;
      while (rest.length > 0) {
        const amount = await windows.take(stream, Math.min(rest.length, 64 * 1024));
        await transport.sendAll(dataHead(stream.id, amount, false), rest.subarray(0, amount));
        rest = rest.subarray(amount);
      }
      if (fin) await transport.sendAll(dataHead(stream.id, 0, true));
    },
    grant: (stream, bytes) => {
      transport.send(controlFrame(frameType.windowUpdate, 0, words(stream.id, bytes)));
    },
    reply: (stream, headers) =>
      transport.sendInOrder(async () => {
        const block = await parts.codec.compress(headers);
        return controlFrame(frameType.synReply, 0, Buffer.concat([words(stream.id), block]));
      }),
    forget: (stream, whole) => {
      streams.delete(stream.id);
      const reset = () =>
        transport.send(controlFrame(frameType.rstStream, 0, words(stream.id, resetStatus.cancel)));
      if (whole) return;
      if (stream.replying === undefined) reset();
      else void stream.replying.then(reset);
    },
  };
}
