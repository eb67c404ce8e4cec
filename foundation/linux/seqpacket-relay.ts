/**
 * The worker thread of `seqpacket.ts`: carries packets from a SOCK_SEQPACKET socket into a stream socket as
 * frames (length in four bytes, then the packet), and bytes from the stream into packets. Both sockets are
 * non-blocking and it waits in poll(2), so neither direction can hold up the other.
 */
import { workerData } from 'node:worker_threads';
import { declare } from './libc.ts';

const poll = declare('int poll(void *fds, unsigned long count, int timeout)');
const recv = declare('long recv(int fd, void *buffer, size_t length, int flags)');
const send = declare('long send(int fd, void *buffer, size_t length, int flags)');
// Not Node's: descriptors that came from another thread are none of this thread's.
const close = declare('int close(int fd)');
const shutdown = declare('int shutdown(int fd, int how)');

const POLLIN = 1;
const POLLOUT = 4;
const POLLBROKEN = 8 | 32;
const MSG_NOSIGNAL = 0x4000;
const SHUT_WR = 1;
/** Bytes: conmon reads packets of at most 32 KiB. */
const packetBytes = 8192;

const { remote, local } = workerData as { remote: number; local: number };
const fds = Buffer.alloc(16);
const incoming = Buffer.alloc(4 + 65536);
const outgoing = Buffer.alloc(packetBytes);
/** What has been read and not yet been passed on. */
let toLocal: Buffer = Buffer.alloc(0);
let toRemote: Buffer = Buffer.alloc(0);
let remoteEnded = false;
let localEnded = false;

function wait(): { remote: number; local: number } {
  const wanted = (idle: boolean, full: boolean) => (idle ? POLLIN : 0) | (full ? POLLOUT : 0);
  fds.writeInt32LE(remote, 0);
  fds.writeInt16LE(wanted(!remoteEnded && toLocal.length === 0, toRemote.length > 0), 4);
  fds.writeInt32LE(local, 8);
  fds.writeInt16LE(wanted(!localEnded && toRemote.length === 0, toLocal.length > 0), 12);
  poll(fds, 2, -1);
  return { remote: fds.readInt16LE(6), local: fds.readInt16LE(14) };
}

/** Passes on what it can; undefined if the other side is gone. */
function push(fd: number, bytes: Buffer): Buffer | undefined {
  const count = send(fd, bytes, bytes.length, MSG_NOSIGNAL);
  return count < 0 ? undefined : bytes.subarray(count);
}

function receiveRemote(): void {
  const count = recv(remote, incoming.subarray(4), 65536, 0);
  if (count <= 0) {
    remoteEnded = true;
    shutdown(local, SHUT_WR);
    return;
  }
  incoming.writeUInt32LE(count, 0);
  toLocal = incoming.subarray(0, 4 + count);
}

function receiveLocal(): void {
  const count = recv(local, outgoing, packetBytes, 0);
  if (count <= 0) {
    localEnded = true;
    shutdown(remote, SHUT_WR);
    return;
  }
  toRemote = outgoing.subarray(0, count);
}

/** One round; false when nothing more can come. */
function step(): boolean {
  const ready = wait();
  if (ready.local & POLLBROKEN) return false;
  if (ready.remote & POLLOUT && toRemote.length > 0) {
    const rest = push(remote, toRemote);
    if (rest === undefined) return false;
    toRemote = rest;
  }
  if (ready.local & POLLOUT && toLocal.length > 0) {
    const rest = push(local, toLocal);
    if (rest === undefined) return false;
    toLocal = rest;
  }
  if (ready.remote & (POLLIN | 16) && !remoteEnded && toLocal.length === 0) receiveRemote();
  if (ready.local & POLLIN && !localEnded && toRemote.length === 0) receiveLocal();
  return !(remoteEnded && toLocal.length === 0);
}

while (step());
close(remote);
close(local);
