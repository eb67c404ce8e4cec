/**
 * Unix sockets as plain descriptors, to hand to other programs, and descriptors sent over a unix socket: unix(7),
 * cmsg(3). So a program can be given what it may use without a path that it may open.
 */
import { closeSync } from 'node:fs';
import type { Socket } from 'node:net';
import { SkiffError } from '#foundation/base/errors.ts';
import { addressOf, check, declare, lastError } from './libc.ts';

const socket2 = declare('int socket(int domain, int type, int protocol)');
const bind2 = declare('int bind(int fd, void *address, unsigned int length)');
const listen2 = declare('int listen(int fd, int backlog)');
const connect2 = declare('int connect(int fd, void *address, unsigned int length)');
const recvmsg2 = declare('long recvmsg(int fd, void *message, int flags)');
const sendmsg2 = declare('long sendmsg(int fd, void *message, int flags)');

const AF_UNIX = 1;
const SOCK_STREAM_CLOEXEC = 1 | 0o2000000;
const SOL_SOCKET = 1;
const SCM_RIGHTS = 1;
const MSG_DONTWAIT = 0x40;
const MSG_CMSG_CLOEXEC = 0x40000000;
/** Bytes of `sun_path` less the NUL: unix(7). */
const longestPath = 107;

/** A socket that listens at `path`, which must be free; mode 0600. The caller closes it. @throws SkiffError. */
export function listenUnix(path: string): number {
  const fd = check(socket2(AF_UNIX, SOCK_STREAM_CLOEXEC, 0), 'Cannot make a socket');
  const mask = process.umask(0o177);
  try {
    const address = unixAddress(path);
    check(bind2(fd, address, address.length), `Cannot make the socket "${path}"`);
    check(listen2(fd, 16), `Cannot listen on "${path}"`);
    return fd;
  } catch (error) {
    closeSync(fd);
    throw error;
  } finally {
    process.umask(mask);
  }
}

/** A socket that is connected to `path`, also if nobody has accepted it yet. The caller closes it. @throws SkiffError. */
export function connectUnix(path: string): number {
  const fd = check(socket2(AF_UNIX, SOCK_STREAM_CLOEXEC, 0), 'Cannot make a socket');
  try {
    const address = unixAddress(path);
    check(connect2(fd, address, address.length), `Cannot connect to "${path}"`);
    return fd;
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

/**
 * Sends `text` with descriptors over a connected unix socket. Node must have nothing of its own left to send there.
 *
 * @throws SkiffError FAILED_PRECONDITION if it has, or if the socket is closed; UNAVAILABLE if its buffer is full.
 */
export function sendDescriptors(socket: Socket, text: string | Buffer, fds: readonly number[]): void {
  const fd = descriptorOf(socket);
  if (fd === undefined || socket.writableLength > 0)
    throw new SkiffError('FAILED_PRECONDITION', 'Cannot send descriptors: the socket is closed or busy');
  const bytes = typeof text === 'string' ? Buffer.from(text) : text;
  const vector = Buffer.alloc(16);
  vector.writeBigUInt64LE(addressOf(bytes), 0);
  vector.writeBigUInt64LE(BigInt(bytes.length), 8);
  // struct cmsghdr: length, level, type; then the descriptors.
  const control = Buffer.alloc(16 + Math.ceil((fds.length * 4) / 8) * 8);
  control.writeBigUInt64LE(BigInt(16 + fds.length * 4), 0);
  control.writeInt32LE(SOL_SOCKET, 8);
  control.writeInt32LE(SCM_RIGHTS, 12);
  fds.forEach((each, index) => void control.writeInt32LE(each, 16 + index * 4));
  const message = Buffer.alloc(56); // struct msghdr
  message.writeBigUInt64LE(addressOf(vector), 16);
  message.writeBigUInt64LE(1n, 24);
  message.writeBigUInt64LE(addressOf(control), 32);
  message.writeBigUInt64LE(BigInt(control.length), 40);
  const sent = check(sendmsg2(fd, message, 0x4000 /* MSG_NOSIGNAL */), 'Cannot send descriptors');
  if (sent < bytes.length) throw new SkiffError('UNAVAILABLE', 'Cannot send descriptors: the socket is full');
}

/**
 * Receives a descriptor that was sent over a unix socket, with the text beside it dropped.
 *
 * @param socket paused since it was accepted (`pauseOnConnect`): what Node reads itself loses its descriptors.
 * @returns the descriptor, closed on exec; the caller closes it. Undefined while nothing has come.
 * @throws SkiffError FAILED_PRECONDITION if the other side left without sending one.
 */
export function receiveDescriptor(socket: Socket): number | undefined {
  const fd = descriptorOf(socket);
  if (fd === undefined) throw new SkiffError('FAILED_PRECONDITION', 'Cannot receive: the socket is closed');
  const bytes = Buffer.alloc(4096);
  const vector = Buffer.alloc(16);
  vector.writeBigUInt64LE(addressOf(bytes), 0);
  vector.writeBigUInt64LE(BigInt(bytes.length), 8);
  const control = Buffer.alloc(24); // struct cmsghdr, and one descriptor with its padding.
  const message = Buffer.alloc(56); // struct msghdr
  message.writeBigUInt64LE(addressOf(vector), 16);
  message.writeBigUInt64LE(1n, 24);
  message.writeBigUInt64LE(addressOf(control), 32);
  message.writeBigUInt64LE(BigInt(control.length), 40);
  const received = recvmsg2(fd, message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  if (received < 0) {
    const error = lastError('Cannot receive a descriptor');
    if (error.errno === 'EAGAIN') return undefined;
    throw error;
  }
  const isDescriptor =
    message.readBigUInt64LE(40) >= 20n &&
    control.readInt32LE(8) === SOL_SOCKET &&
    control.readInt32LE(12) === SCM_RIGHTS;
  if (isDescriptor) return control.readInt32LE(16);
  throw new SkiffError('FAILED_PRECONDITION', 'The other side sent no descriptor');
}

/** The descriptor behind a socket of Node's, which Node does not tell officially. */
function descriptorOf(socket: Socket): number | undefined {
  const handle = (socket as unknown as { _handle?: { fd?: number } | null })._handle;
  return handle?.fd === undefined || handle.fd < 0 ? undefined : handle.fd;
}

/** struct sockaddr_un. */
function unixAddress(path: string): Buffer {
  if (Buffer.byteLength(path) > longestPath)
    throw new SkiffError(
      'INVALID_ARGUMENT',
      `The socket's path "${path}" is longer than ${longestPath} bytes; choose a shorter root`,
    );
  const address = Buffer.alloc(110);
  address.writeUInt16LE(AF_UNIX, 0);
  address.write(path, 2, longestPath, 'utf8');
  return address;
}
