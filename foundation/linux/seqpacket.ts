/**
 * Unix sockets of type SOCK_SEQPACKET (unix(7)), which Node cannot talk to: conmon's attach socket is one. A
 * worker thread waits on the socket and turns its packets into a stream of frames that the main thread reads.
 */
import { closeSync } from 'node:fs';
import { Socket } from 'node:net';
import { Worker } from 'node:worker_threads';
import { check, declare } from './libc.ts';

const socket2 = declare('int socket(int domain, int type, int protocol)');
const socketpair = declare('int socketpair(int domain, int type, int protocol, void *fds)');
const connect2 = declare('int connect(int fd, void *address, unsigned int length)');

const AF_UNIX = 1;
const SOCK_STREAM = 1;
const SOCK_SEQPACKET = 5;
const SOCK_NONBLOCK = 0o4000;
const SOCK_CLOEXEC = 0o2000000;

/** An open connection. */
export interface PacketConnection {
  /** Calls back for each packet, until the other side closes. Returns when it has. */
  receive(each: (packet: Buffer) => void | Promise<void>): Promise<void>;
  /** What is written is sent in packets of at most 8 KiB; `end` closes this direction only. */
  readonly writable: Socket;
  /** Ends both directions. */
  close(): void;
}

/**
 * Connects to a SOCK_SEQPACKET socket.
 *
 * @throws SkiffError NOT_FOUND if there is no socket; UNAVAILABLE if nobody listens.
 */
export function connectPackets(path: string): PacketConnection {
  const remote = check(
    socket2(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0),
    'Cannot make a socket',
  );
  const ends = Buffer.alloc(8);
  try {
    const address = unixAddress(path);
    check(connect2(remote, address, address.length), `Cannot connect to "${path}"`);
    check(
      socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends),
      'Cannot make a socket pair',
    );
  } catch (error) {
    closeSync(remote);
    throw error;
  }
  const [near, far] = [ends.readInt32LE(0), ends.readInt32LE(4)];
  // It owns and closes both descriptors.
  const worker = new Worker(new URL('./seqpacket-relay.ts', import.meta.url), {
    workerData: { remote, local: far },
  });
  worker.on('error', () => stream.destroy());
  const stream = new Socket({ fd: near, allowHalfOpen: true });
  stream.on('error', () => {}); // Seen by the reader as the end, and by the writer through its callback.
  return {
    writable: stream,
    receive: (each) => readFrames(stream, each),
    close: () => void stream.destroy(),
  };
}

async function readFrames(stream: Socket, each: (packet: Buffer) => void | Promise<void>): Promise<void> {
  let rest: Buffer = Buffer.alloc(0);
  try {
    for await (const chunk of stream.iterator({ destroyOnReturn: false })) {
      rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
      while (rest.length >= 4 && rest.length >= 4 + rest.readUInt32LE(0)) {
        const end = 4 + rest.readUInt32LE(0);
        await each(rest.subarray(4, end));
        rest = rest.subarray(end);
      }
    }
  } catch {
    // The connection was closed here or there: the end either way.
  }
}

/** struct sockaddr_un. */
function unixAddress(path: string): Buffer {
  const address = Buffer.alloc(110);
  address.writeUInt16LE(AF_UNIX, 0);
  address.write(path, 2, 107, 'utf8');
  return address;
}
