/**
 * Several connections over one socket, as NRI has it (https://github.com/containerd/nri, pkg/net/multiplex):
 * 4 bytes of connection id, 4 of length, big-endian, then that connection's bytes.
 */
import type { Duplex } from 'node:stream';
import { SkiffError, wrapError } from '#foundation/base/errors.ts';
import { type ByteChannel, frameHeaderBytes, maxMessageBytes, recordReader } from './ttrpc-frames.ts';

const headerBytes = 8;
const maxPayloadBytes = frameHeaderBytes + maxMessageBytes;
/**
 * How the bytes of one message are cut. The Go implementation reads a frame with one read, through a buffer of
 * this size: what is longer must come as one frame of exactly this size and one with all the rest.
 */
const firstPartBytes = 4096;

/** The connections of a socket. */
export interface Mux {
  /** Opens a connection that the other side opens by the same number; open it before its first bytes come. */
  open(id: number): ByteChannel;
  /** Calls back once when the socket is closed. */
  onClose(call: (why: SkiffError) => void): void;
  close(why: SkiffError): void;
}

/** Multiplexes a socket, which it owns from now on. Garbage on it closes it. */
export function multiplex(socket: Duplex): Mux {
  const readers = new Map<number, (bytes: Buffer) => void>();
  const closed = Promise.withResolvers<SkiffError>();
  const close = (why: SkiffError) => {
    closed.resolve(why);
    socket.destroy();
  };
  const onClose = (call: (why: SkiffError) => void) => void closed.promise.then(call);
  const read = recordReader(headerBytes, payloadBytes, (header, body) =>
    readers.get(header.readUInt32BE(0))?.(body),
  );
  socket.on('data', (bytes: Buffer) => {
    try {
      read(bytes);
    } catch (error) {
      close(wrapError(error, 'What came over the socket is no NRI'));
    }
  });
  socket.on('error', (error) => close(wrapError(error, 'The connection failed')));
  socket.on('close', () => close(new SkiffError('UNAVAILABLE', 'the connection was closed')));
  socket.on('end', () => close(new SkiffError('UNAVAILABLE', 'the connection was closed')));
  return {
    open: (id) => ({
      send: (bytes) => {
        write(socket, id, bytes.subarray(0, firstPartBytes));
        if (bytes.length > firstPartBytes) write(socket, id, bytes.subarray(firstPartBytes));
      },
      onData: (each) => readers.set(id, each),
      onClose,
      close,
    }),
    onClose,
    close,
  };
}

function payloadBytes(header: Buffer): number {
  const bytes = header.readUInt32BE(4);
  if (bytes <= maxPayloadBytes) return bytes;
  throw new SkiffError(
    'INVALID_ARGUMENT',
    `a frame says it has ${bytes} bytes; at most ${maxPayloadBytes} may come`,
  );
}

function write(socket: Duplex, id: number, bytes: Uint8Array): void {
  const header = Buffer.alloc(headerBytes);
  header.writeUInt32BE(id, 0);
  header.writeUInt32BE(bytes.length, 4);
  socket.write(Buffer.concat([header, bytes]));
}
