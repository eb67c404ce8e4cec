/** A WebSocket as a plain byte stream: what a tunnel runs over. Message borders mean nothing. */
import { Duplex } from 'node:stream';
import type { WebSocket } from 'ws';

/** Wraps a WebSocket; ending or destroying the stream closes it. */
export function webSocketTransport({ socket }: { socket: WebSocket }): Duplex {
  const stream: Duplex = new Duplex({
    readableHighWaterMark: 128 * 1024,
    allowHalfOpen: true,
    read: () => socket.resume(),
    write: (chunk: Buffer, _encoding, done) => socket.send(chunk, done),
    // Our end may be the peer's sign to go: it closes, and then we see its end.
    final: (done) => {
      socket.close(1000);
      done();
    },
    destroy: (error, done) => {
      socket.terminate();
      done(error);
    },
  });
  socket.on('error', () => {}); // 'close' follows.
  socket.on('message', (data) => {
    if (stream.destroyed || stream.readableEnded) return;
    const bytes = Array.isArray(data) ? Buffer.concat(data) : Buffer.from(data as Buffer);
    if (bytes.length > 0 && !stream.push(bytes)) socket.pause();
  });
  socket.once('close', () => {
    if (!stream.destroyed) stream.push(null);
    // Its readers see the end first, then it is gone.
    setImmediate(() => stream.destroy());
  });
  return stream;
}
