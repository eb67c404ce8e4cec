/** A pair of connected unix sockets, for a child that is to talk with this process: socketpair(2). */
import { Socket } from 'node:net';
import { check, declare } from './libc.ts';

const socketpair = declare('int socketpair(int domain, int type, int protocol, void *fds)');
const fcntl = declare('int fcntl(int fd, int command, int argument)');

const AF_UNIX = 1;
const SOCK_STREAM = 1;
const SOCK_CLOEXEC = 0o2000000;
const O_NONBLOCK = 0o4000;
const F_SETFL = 4;

/** Both ends; the caller closes `theirs` once the child has it. */
export interface SocketPair {
  ours: Socket;
  /** A descriptor, closed on exec, that blocks. */
  theirs: number;
}

/** Makes a pair of stream sockets. @throws SkiffError RESOURCE_EXHAUSTED if there are too many descriptors. */
export function openSocketPair(): SocketPair {
  const [near, far] = socketPair();
  fcntl(near, F_SETFL, O_NONBLOCK);
  return { ours: new Socket({ fd: near, readable: true, writable: true }), theirs: far };
}

/**
 * The same for two other processes: plain descriptors, closed on exec, that block. The caller closes both.
 *
 * @throws SkiffError RESOURCE_EXHAUSTED if there are too many descriptors.
 */
export function socketPair(): [number, number] {
  const ends = Buffer.alloc(8);
  check(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 'Cannot make a socket pair');
  return [ends.readInt32LE(0), ends.readInt32LE(4)];
}
