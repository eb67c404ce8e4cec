/** The standard input of a process in the guest: what the shim reads, until the guest has it. */
import type { Socket } from 'node:net';
import type { Writable } from 'node:stream';

/** What the relay needs of a process. */
export interface InputTarget {
  readonly stdin: Writable;
  positions(): { stdin: number };
}

/** The relay of one input. */
export interface InputRelay {
  /** A shim offers its input. Replaces an earlier connection. */
  attach(socket: Socket): void;
}

/** Bytes of one frame: the shim's buffer. */
const maxFrame = 65536;
/** Milliseconds between looks at how far the guest is, while it is behind. */
const lookMs = 5;

/** All ones: no more is wanted. */
const noMore = Buffer.alloc(8, 0xff);

/** Makes the relay of a process's input. */
export function inputRelay(target: InputTarget): InputRelay {
  const { stdin } = target;
  let socket: Socket | undefined;
  let over = false;
  let told = -1;
  /** Bytes that were handed to the guest's stream, counted from its beginning. */
  let written = target.positions().stdin;
  let timer: NodeJS.Timeout | undefined;
  const report = () => {
    timer = undefined;
    if (socket === undefined) return;
    const { stdin: count } = target.positions();
    if (count !== told) {
      told = count;
      const message = Buffer.alloc(8);
      message.writeBigUInt64BE(BigInt(count));
      socket.write(message);
    }
    if (count < written) timer = setTimeout(report, lookMs);
  };
  const refuse = () => {
    over = true;
    socket?.write(noMore);
  };
  stdin.on('error', refuse);
  stdin.once('close', refuse);
  return {
    attach(next) {
      socket?.destroy();
      socket = next;
      if (over || stdin.destroyed) return void next.write(noMore);
      told = -1;
      // Frames of a broken connection that were handed on already must not come twice.
      let skip = written - target.positions().stdin;
      report();
      readFrames(next, async (bytes) => {
        // What is left of an earlier connection comes again by this one's successor.
        if (socket !== next) return;
        if (bytes.length === 0) {
          if (!stdin.writableEnded) stdin.end();
          return;
        }
        const fresh = bytes.subarray(Math.min(skip, bytes.length));
        skip -= bytes.length - fresh.length;
        if (fresh.length === 0 || over || stdin.writableEnded) return;
        written += fresh.length;
        await new Promise<void>((resolve) => stdin.write(fresh, () => resolve()));
        report();
      });
      next.once('close', () => {
        if (socket === next) socket = undefined;
        clearTimeout(timer);
        timer = undefined;
      });
    },
  };
}

/** Hands on frames one after another; the socket waits meanwhile. */
function readFrames(socket: Socket, each: (bytes: Buffer) => Promise<void>): void {
  let rest: Buffer = Buffer.alloc(0);
  let busy = false;
  const work = async () => {
    if (busy) return;
    busy = true;
    while (rest.length >= 4) {
      const length = rest.readUInt32BE();
      if (length > maxFrame) return void socket.destroy();
      if (rest.length < 4 + length) break;
      const bytes = rest.subarray(4, 4 + length);
      rest = rest.subarray(4 + length);
      await each(bytes);
    }
    busy = false;
    socket.resume();
  };
  socket.on('data', (chunk: Buffer) => {
    rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    socket.pause();
    void work();
  });
  socket.resume();
}
