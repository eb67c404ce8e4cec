/**
 * Netlink (netlink(7), rtnetlink(7)): building requests, sending them, reading acknowledgements and dumps.
 * The kernel handles a request inside send(2), so a synchronous call costs microseconds and never waits.
 */
import { check, declare, errnoError, lastError } from './libc.ts';

const socket2 = declare('int socket(int domain, int type, int protocol)');
const send2 = declare('long send(int fd, const void *bytes, size_t length, int flags)');
const recv2 = declare('long recv(int fd, _Out_ uint8_t *bytes, size_t length, int flags)');
const close2 = declare('int close(int fd)');

const AF_NETLINK = 16;
const SOCK_RAW_CLOEXEC = 3 | 0o2000000;

/** Netlink protocols, <linux/netlink.h>. */
export const NetlinkProtocol = { route: 0, netfilter: 12 } as const;

/** Flags of a request, <linux/netlink.h>. */
export const NetlinkFlag = {
  request: 1,
  ack: 4,
  /** For GET: all entries. */
  dump: 0x300,
  /** For NEW: fail if it exists. */
  exclusive: 0x200,
  /** For NEW: make it if it does not exist. */
  create: 0x400,
  replace: 0x100,
  append: 0x800,
} as const;

const NLMSG_ERROR = 2;
const NLMSG_DONE = 3;
const HEADER = 16;

/** One request. */
export interface NetlinkRequest {
  /** RTM_* or the like. */
  type: number;
  /** Bits of `NetlinkFlag`; request and ack are added. */
  flags?: number;
  /** The fixed header of the message's family, then its attributes. */
  body: Buffer;
}

/** One message of an answer, without its netlink header. */
export interface NetlinkAnswer {
  type: number;
  body: Buffer;
}

/** A netlink socket. It belongs to the network namespace it was opened in, also after the thread left that. */
export interface NetlinkSocket extends Disposable {
  /**
   * Sends one request and returns the messages that answer it (none for a plain acknowledgement).
   *
   * @param what what is being done, for the error: `Cannot add link "x"`.
   * @throws SkiffError with the kernel's errno.
   */
  request(what: string, request: NetlinkRequest): NetlinkAnswer[];
  close(): void;
}

/** Opens a socket in the current network namespace. @throws SkiffError. */
export function openNetlink(protocol: number = NetlinkProtocol.route): NetlinkSocket {
  const fd = check(socket2(AF_NETLINK, SOCK_RAW_CLOEXEC, protocol), 'Cannot open a netlink socket');
  // Not zeroed: of what is in it only what was received is read, and a pod's life opens a dozen sockets.
  const buffer = Buffer.allocUnsafeSlow(64 * 1024);
  let sequence = 0;
  const close = () => void close2(fd);
  return {
    request(what, { type, flags = 0, body }) {
      sequence += 1;
      const message = frame(type, flags | NetlinkFlag.request | NetlinkFlag.ack, sequence, body);
      check(send2(fd, message, message.length, 0), what);
      return receive(fd, buffer, sequence, what);
    },
    close,
    [Symbol.dispose]: close,
  };
}

function frame(type: number, flags: number, sequence: number, body: Buffer): Buffer {
  const header = Buffer.alloc(HEADER);
  header.writeUInt32LE(HEADER + body.length, 0);
  header.writeUInt16LE(type, 4);
  header.writeUInt16LE(flags, 6);
  header.writeUInt32LE(sequence, 8);
  return Buffer.concat([header, body]);
}

function receive(fd: number, buffer: Buffer, sequence: number, what: string): NetlinkAnswer[] {
  const answers: NetlinkAnswer[] = [];
  for (;;) {
    const size = recv2(fd, buffer, buffer.length, 0);
    if (size < 0) throw lastError(what);
    for (let at = 0; at + HEADER <= size; ) {
      const length = buffer.readUInt32LE(at);
      const type = buffer.readUInt16LE(at + 4);
      const body = buffer.subarray(at + HEADER, at + length);
      const ours = buffer.readUInt32LE(at + 8) === sequence;
      at += (length + 3) & ~3;
      if (!ours) continue; // The rest of an answer whose request failed half-way.
      if (type === NLMSG_DONE) return answers;
      if (type !== NLMSG_ERROR) answers.push({ type, body: Buffer.from(body) });
      else if (body.readInt32LE(0) === 0) return answers;
      else throw errnoError(-body.readInt32LE(0), what);
    }
  }
}

/** One attribute: its type and a value (NUL-terminated text, bytes, a 32-bit number, or nested attributes). */
export function attribute(type: number, value: Buffer | string | number | Buffer[]): Buffer {
  const bytes = attributeBytes(value);
  const padded = Buffer.alloc((4 + bytes.length + 3) & ~3);
  padded.writeUInt16LE(4 + bytes.length, 0);
  padded.writeUInt16LE(Array.isArray(value) ? type | 0x8000 : type, 2); // NLA_F_NESTED
  bytes.copy(padded, 4);
  return padded;
}

function attributeBytes(value: Buffer | string | number | Buffer[]): Buffer {
  if (Array.isArray(value)) return Buffer.concat(value);
  if (typeof value === 'string') return Buffer.from(`${value}\0`);
  if (typeof value !== 'number') return value;
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value >>> 0);
  return bytes;
}

/** Reads attributes into a map by type; the last of a repeated one wins. */
export function readAttributes(bytes: Buffer): Map<number, Buffer> {
  const found = new Map<number, Buffer>();
  for (let at = 0; at + 4 <= bytes.length; ) {
    const length = bytes.readUInt16LE(at);
    if (length < 4) break;
    found.set(bytes.readUInt16LE(at + 2) & 0x3fff, bytes.subarray(at + 4, at + length));
    at += (length + 3) & ~3;
  }
  return found;
}

/** Text of an attribute, without its NUL. */
export function attributeText(bytes: Buffer | undefined): string {
  return bytes === undefined ? '' : bytes.toString('utf8').replace(/\0.*$/s, '');
}
