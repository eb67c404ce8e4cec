/** Pseudo-terminals: pty(7). */
import { closeSync, constants, openSync, readlinkSync } from 'node:fs';
import { ReadStream } from 'node:tty';
import { check, declare } from './libc.ts';

const posixOpenpt = declare('int posix_openpt(int flags)');
const grantpt = declare('int grantpt(int fd)');
const unlockpt = declare('int unlockpt(int fd)');
const ptsname_r = declare('int ptsname_r(int fd, void *buffer, size_t length)');
const tcgetattr = declare('int tcgetattr(int fd, void *termios)');
const tcsetattr = declare('int tcsetattr(int fd, int when, void *termios)');
const cfmakeraw = declare('void cfmakeraw(void *termios)');
const ioctl = declare('int ioctl(int fd, unsigned long request, void *argument)');

const O_RDWR = 2;
const O_NOCTTY = 0o400;
const O_CLOEXEC = 0o2000000;
/** <asm-generic/ioctls.h>. */
const TIOCSWINSZ = 0x5414;

/** Our end of a terminal. */
export interface Terminal {
  /** What the program writes comes out here, and what is written here is its input. Owns the descriptor. */
  readonly stream: ReadStream;
  /** In character cells; zeros are ignored. */
  resize(size: { width: number; height: number }): void;
}

/** A terminal of ours; its other end is for a program to open. */
export interface OwnTerminal extends Terminal {
  /** The path that the program opens: `/dev/pts/7`. */
  readonly path: string;
}

/**
 * Opens a new terminal, in raw mode: bytes pass as they are, since what is run on it (an OCI runtime) has a second
 * terminal for the program, which echoes and edits. The caller destroys its stream.
 */
export function openTerminal(): OwnTerminal {
  const fd = check(posixOpenpt(O_RDWR | O_NOCTTY | O_CLOEXEC), 'Cannot open a terminal');
  try {
    check(grantpt(fd), 'Cannot open a terminal');
    check(unlockpt(fd), 'Cannot open a terminal');
    makeRaw(fd);
    const name = Buffer.alloc(64);
    check(-ptsname_r(fd, name, name.length), 'Cannot find the name of a terminal');
    return { path: name.toString('utf8', 0, name.indexOf(0)), ...terminalOf(fd) };
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

/** The terminal whose master is `fd`; its stream owns the descriptor. */
export function terminalOf(fd: number): Terminal {
  const stream = new ReadStream(fd);
  return {
    stream,
    resize: ({ width, height }) => {
      // Too late when the session has ended: the number may be another file's by then.
      if (!stream.destroyed) setSize(fd, width, height);
    },
  };
}

/**
 * Sets the size of the terminal that is another process's standard input; anything else that it may be is left
 * alone, and so is a process that has ended.
 */
export function resizeTerminalOf(pid: number, { width, height }: { width: number; height: number }): void {
  const path = `/proc/${pid}/fd/0`;
  let fd: number | undefined;
  try {
    if (!/^\/dev\/(pts\/\d+|console)$/.test(readlinkSync(path))) return;
    fd = openSync(path, O_RDWR | O_NOCTTY | constants.O_NONBLOCK);
    setSize(fd, width, height);
  } catch {
    // It ended meanwhile, and its terminal with it.
  } finally {
    if (fd !== undefined) closeSync(fd);
  }
}

function makeRaw(fd: number): void {
  // Larger than struct termios (60 bytes).
  const termios = Buffer.alloc(128);
  check(tcgetattr(fd, termios), 'Cannot read the mode of a terminal');
  cfmakeraw(termios);
  check(tcsetattr(fd, 0, termios), 'Cannot set the mode of a terminal');
}

function setSize(fd: number, width: number, height: number): void {
  if (width <= 0 || height <= 0) return;
  // struct winsize: rows, columns, and two that nobody uses.
  const size = new Uint8Array(
    new Uint16Array([Math.min(height, 65535), Math.min(width, 65535), 0, 0]).buffer,
  );
  check(ioctl(fd, TIOCSWINSZ, size), 'Cannot resize a terminal');
}
