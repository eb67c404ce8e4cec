/** The bytes below a SPDY session: ordered sends that wait for a slow peer, reads with backpressure, pings. */
import type { Duplex } from 'node:stream';
import { SkiffError } from '#foundation/base/errors.ts';
import { controlFrame, frameType, words } from './frames.ts';

/** Milliseconds that a peer gets to read what is left when we close. */
const lingerMs = 2000;

/** What a session needs of its connection. */
export interface Transport {
  /** Sends a small frame without waiting. */
  send(frame: Buffer): void;
  /** Sends and resolves when the connection takes more. @throws SkiffError UNAVAILABLE if it is closed. */
  sendAll(...parts: Buffer[]): Promise<void>;
  /** Makes a frame and sends it; makers run one after another, so frames leave in the order of the calls. */
  sendInOrder(make: () => Promise<Buffer>): Promise<void>;
  /** What comes, `head` first; ends with the peer's end. */
  chunks(head?: Buffer): AsyncIterable<Buffer>;
  /** Ends our side, then waits for the peer's end, 2 s at the most. */
  end(): Promise<void>;
  destroy(): void;
}

/** How the connection is watched. */
export interface TransportOptions {
  role: 'client' | 'server';
  pingIntervalMs?: number;
  idleTimeoutMs?: number;
}

/** Wraps an upgraded connection. */
export function transportOver(socket: Duplex, options: TransportOptions): Transport {
  let order: Promise<void> = Promise.resolve();
  let active = Date.now();
  let pingId = options.role === 'client' ? 1 : 2;
  const closed = Promise.withResolvers<void>();
  socket.on('error', () => closed.resolve()); // The read loop sees the end; the reason is not needed.
  socket.once('close', () => closed.resolve());
  const send = (frame: Buffer) => {
    if (socket.writable) socket.write(frame);
  };
  const idle = options.idleTimeoutMs ?? Number.POSITIVE_INFINITY;
  const interval = Math.min(options.pingIntervalMs ?? 30_000, idle);
  const timer = setInterval(() => {
    if (Date.now() - active >= idle) socket.destroy();
    else send(controlFrame(frameType.ping, 0, words(pingId)));
    pingId += 2;
  }, interval);
  timer.unref();
  void closed.promise.then(() => clearInterval(timer));
  const waitForRoom = async () => {
    if (!socket.writableNeedDrain) return;
    const drained = Promise.withResolvers<void>();
    socket.once('drain', drained.resolve);
    await Promise.race([drained.promise, closed.promise]);
    socket.off('drain', drained.resolve);
  };
  const sendAll = async (...parts: Buffer[]) => {
    if (!socket.writable) throw new SkiffError('UNAVAILABLE', 'The streaming connection is closed');
    active = Date.now();
    socket.cork?.();
    for (const part of parts) socket.write(part);
    socket.uncork?.();
    await waitForRoom();
  };
  return {
    send,
    sendAll,
    sendInOrder: (make) => {
      const sent = order.then(async () => send(await make()));
      order = sent.catch(() => {});
      return sent;
    },
    chunks: async function* (head) {
      if (head !== undefined && head.length > 0) yield head;
      try {
        for await (const chunk of socket.iterator({ destroyOnReturn: false })) {
          active = Date.now();
          yield chunk as Buffer;
        }
      } catch {
        // A broken connection ends like a closed one: there is nobody left to tell.
      }
    },
    end: async () => {
      socket.end();
      const late = setTimeout(() => closed.resolve(), lingerMs);
      await closed.promise;
      clearTimeout(late);
    },
    destroy: () => {
      clearInterval(timer);
      socket.destroy();
    },
  };
}
