/**
 * Kubernetes' channel protocols over WebSocket: the first byte of each message names a channel, in the base64
 * forms the first character does. From v5 on, the message `255, channel` ends that channel (half-close).
 */
import { Readable, Writable } from 'node:stream';
import type { RawData, WebSocket } from 'ws';
import { SkiffError } from '#foundation/base/errors.ts';
import type { NegotiatedSocket } from './upgrade.ts';

/** First byte of a message that ends the channel named by the second; v5 only. */
const closeChannel = 255;
/** Bytes of the longest message that we send. */
const maxSendBytes = 64 * 1024;
/** Milliseconds between pings, which find out that the peer vanished while we do not read. */
const pingIntervalMs = 30_000;

/** How a subprotocol's messages look. */
export interface ChannelFormat {
  /** Text messages with base64 after the channel's digit. */
  base64: boolean;
  /** Whether channels can be half-closed. */
  halfClose: boolean;
}

/** The format of a subprotocol: '' and all `*.channel.k8s.io`. */
function channelFormat(protocol: string): ChannelFormat {
  return { base64: protocol.includes('base64.'), halfClose: protocol.startsWith('v5.') };
}

/** A WebSocket cut into channels. */
export interface ChannelSocket {
  readonly protocol: string;
  /** What comes on a channel; ends with its half-close, or when the socket closes. */
  readable(channel: number): Readable;
  /** Sends on a channel; `end()` half-closes it where the protocol and our role can. */
  writable(channel: number): Writable;
  /** Starts to read: call it when all channels were asked for. */
  start(): void;
  /** Closes in good order and waits for the peer to agree, 2 s at the most. */
  close(code?: number, reason?: string): Promise<void>;
  /** Ends at once. */
  destroy(): void;
  /** Aborts when the socket is closed, however. */
  readonly signal: AbortSignal;
  /** The close code that came, once closed; 1006 without one. */
  readonly closeCode: number | undefined;
}

/** How a channel socket is watched. */
export interface ChannelOptions {
  /** Only clients half-close: Kubernetes' servers never do, and some clients take it for their own end. */
  role: 'client' | 'server';
  /** Milliseconds without a message in either direction after which it is closed; none unless told. */
  idleTimeoutMs?: number;
}

/** Cuts a WebSocket into channels. The format follows from its subprotocol. */
export function createChannelSocket(
  { socket, protocol }: NegotiatedSocket,
  options: ChannelOptions,
): ChannelSocket {
  const format = channelFormat(protocol);
  const sendFormat = { ...format, halfClose: format.halfClose && options.role === 'client' };
  const incoming = new Map<number, Readable>();
  const full = new Set<Readable>();
  const over = new AbortController();
  const watch = watchIdle(socket, options.idleTimeoutMs);
  let closeCode: number | undefined;
  const roomIn = (stream: Readable) => {
    if (full.delete(stream) && full.size === 0) socket.resume();
  };
  socket.pause();
  socket.on('error', () => {}); // 'close' follows.
  socket.on('message', (data) => {
    watch.active();
    const message = decode(data, format);
    if (message === undefined) return;
    const stream = incoming.get(message.channel);
    if (stream === undefined || stream.destroyed || stream.readableEnded) return;
    if (message.end) stream.push(null);
    else if (message.bytes.length > 0 && !stream.push(message.bytes)) {
      full.add(stream);
      socket.pause();
    }
  });
  socket.once('close', (code) => {
    closeCode = code;
    watch.stop();
    for (const stream of incoming.values()) if (!stream.destroyed) stream.push(null);
    over.abort(new SkiffError('UNAVAILABLE', `The streaming connection was closed (${code})`));
  });
  return {
    protocol,
    readable: (channel) => {
      const known = incoming.get(channel);
      if (known !== undefined) return known;
      const stream: Readable = new Readable({
        highWaterMark: 128 * 1024,
        read: () => roomIn(stream),
        destroy: (error, done) => {
          roomIn(stream);
          done(error);
        },
      });
      incoming.set(channel, stream);
      return stream;
    },
    writable: (channel) => channelWritable(socket, sendFormat, channel, watch.active),
    start: () => {
      if (full.size === 0) socket.resume();
    },
    close: (code = 1000, reason = '') => closeSocket(socket, code, reason),
    destroy: () => socket.terminate(),
    signal: over.signal,
    get closeCode() {
      return closeCode;
    },
  };
}

interface Message {
  channel: number;
  bytes: Buffer;
  end: boolean;
}

function decode(data: RawData, format: ChannelFormat): Message | undefined {
  const whole = Array.isArray(data) ? Buffer.concat(data) : Buffer.from(data as Buffer);
  const first = whole[0];
  if (first === undefined) return undefined;
  if (format.base64) {
    const bytes = Buffer.from(whole.toString('latin1', 1), 'base64');
    return { channel: first - 0x30, bytes, end: false };
  }
  if (format.halfClose && first === closeChannel) {
    return { channel: whole[1] ?? -1, bytes: Buffer.alloc(0), end: true };
  }
  return { channel: first, bytes: whole.subarray(1), end: false };
}

function encode(channel: number, bytes: Buffer, format: ChannelFormat): string | Buffer {
  if (format.base64) return `${channel}${bytes.toString('base64')}`;
  return Buffer.concat([Buffer.of(channel), bytes]);
}

function channelWritable(
  socket: WebSocket,
  format: ChannelFormat,
  channel: number,
  active: () => void,
): Writable {
  const send = (message: string | Buffer) =>
    new Promise<void>((resolve, reject) => {
      active();
      socket.send(message, (error) => (error === undefined || error === null ? resolve() : reject(error)));
    });
  const sendAll = async (bytes: Buffer) => {
    let at = 0;
    do {
      await send(encode(channel, bytes.subarray(at, at + maxSendBytes), format));
      at += maxSendBytes;
    } while (at < bytes.length);
  };
  const stream = new Writable({
    write: (chunk: Buffer, _encoding, done) => void sendAll(chunk).then(() => done(), done),
    final: (done) => {
      if (!format.halfClose || socket.readyState !== socket.OPEN) done();
      else send(Buffer.of(closeChannel, channel)).then(() => done(), done);
    },
  });
  stream.on('error', () => {}); // The peer left; whoever writes learns it from the session's signal.
  return stream;
}

function closeSocket(socket: WebSocket, code: number, reason: string): Promise<void> {
  return new Promise((resolve) => {
    if (socket.readyState === socket.CLOSED) return resolve();
    const late = setTimeout(() => socket.terminate(), 2000);
    socket.once('close', () => {
      clearTimeout(late);
      resolve();
    });
    socket.resume(); // The peer's close frame must be read.
    socket.close(code, reason);
  });
}

function watchIdle(socket: WebSocket, idleTimeoutMs = Number.POSITIVE_INFINITY) {
  let last = Date.now();
  const timer = setInterval(
    () => {
      if (Date.now() - last >= idleTimeoutMs) socket.terminate();
      else if (socket.readyState === socket.OPEN) socket.ping();
    },
    Math.min(idleTimeoutMs, pingIntervalMs),
  );
  timer.unref();
  return {
    active: () => {
      last = Date.now();
    },
    stop: () => clearInterval(timer),
  };
}
