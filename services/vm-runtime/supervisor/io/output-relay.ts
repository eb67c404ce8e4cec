/**
 * One output of a process in the guest, on its way to the shim. What the shim has not confirmed is kept, so that a
 * connection that breaks costs nothing.
 */
import type { Socket } from 'node:net';
import type { Readable } from 'node:stream';

/** Bytes that may be on their way at once. */
const windowBytes = 256 * 1024;
/** Bytes of one frame: the shim's buffer. */
const frameBytes = 65536;

/** The relay of one output. */
export interface OutputRelay {
  /** A shim that has `count` bytes wants the rest. Replaces an earlier connection. */
  attach(socket: Socket, count: number): void;
  /** Whether the shim has all that came. */
  readonly isEmpty: boolean;
  /** Bytes that the shim has, counted from the stream's beginning. */
  readonly taken: number;
  /** Whether nothing more will come. */
  readonly isEnded: boolean;
}

/**
 * Begins to read `source`.
 *
 * @param from bytes of the stream that came before.
 * @param confirm told how many bytes the shim has, counted from the stream's beginning.
 * @param moved told when something came, was taken, or ended.
 */
export function outputRelay(
  source: Readable,
  from: number,
  confirm: (count: number) => void,
  moved: () => void = () => {},
): OutputRelay {
  let base = from;
  const chunks: Buffer[] = [];
  let bytes = 0;
  let ended = false;
  let socket: Socket | undefined;
  const flow = () => {
    if (bytes < windowBytes) source.resume();
    else source.pause();
  };
  const drop = (count: number) => {
    let over = count - base;
    while (over > 0 && chunks[0] !== undefined) {
      const [first] = chunks;
      const cut = Math.min(over, first.length);
      if (cut === first.length) chunks.shift();
      else chunks[0] = first.subarray(cut);
      over -= cut;
      base += cut;
      bytes -= cut;
    }
    confirm(base);
    flow();
    moved();
  };
  // Before anything is read: from now on the other side keeps what is not confirmed.
  confirm(base);
  source.on('data', (chunk: Buffer) => {
    for (let at = 0; at < chunk.length; at += frameBytes) {
      const part = chunk.subarray(at, at + frameBytes);
      chunks.push(part);
      bytes += part.length;
      if (socket !== undefined) sendFrame(socket, part);
    }
    flow();
    moved();
  });
  const end = () => {
    if (ended) return;
    ended = true;
    if (socket !== undefined) sendFrame(socket, Buffer.alloc(0));
    moved();
  };
  source.once('end', end);
  source.once('error', end);
  source.once('close', end);
  return {
    attach(next, count) {
      socket?.destroy();
      socket = next;
      if (count < base || count > base + bytes) return void next.destroy();
      drop(count);
      for (const chunk of chunks) sendFrame(next, chunk);
      if (ended) sendFrame(next, Buffer.alloc(0));
      readCounts(next, (confirmed) => {
        if (socket === next && confirmed > base && confirmed <= base + bytes) drop(confirmed);
      });
      next.once('close', () => {
        if (socket === next) socket = undefined;
      });
    },
    get isEmpty() {
      return bytes === 0;
    },
    get taken() {
      return base;
    },
    get isEnded() {
      return ended;
    },
  };
}

function sendFrame(socket: Socket, bytes: Buffer): void {
  const prefix = Buffer.alloc(4);
  prefix.writeUInt32BE(bytes.length);
  socket.cork();
  socket.write(prefix);
  if (bytes.length > 0) socket.write(bytes);
  socket.uncork();
}

function readCounts(socket: Socket, each: (count: number) => void): void {
  let rest: Buffer = Buffer.alloc(0);
  socket.on('data', (chunk: Buffer) => {
    rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    const whole = Math.floor(rest.length / 8) * 8;
    if (whole === 0) return;
    // Counts only grow: the last one says it all.
    each(Number(rest.readBigUInt64BE(whole - 8)));
    rest = rest.subarray(whole);
  });
  socket.resume();
}
