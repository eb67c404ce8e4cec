/** openat2(2): opens paths with rules for their resolution that the kernel keeps in one step. */
import { declare } from './libc.ts';

const syscall = declare('long syscall(long number, int directory, void *path, void *how, size_t size)');

/** The call is younger than the common table, so its number is the same on every architecture. */
const SYS_openat2 = 437;

/** open(2) flags that Node's constants lack. */
export const O_PATH = 0o10000000;
export const O_CLOEXEC = 0o2000000;

/** Rules for the resolution of a path. */
export const Resolve = {
  /** No way into another mount (EXDEV). */
  noCrossMount: 0x01,
  /** No jumps through /proc's magic links. */
  noMagicLinks: 0x02,
  noSymlinks: 0x04,
  /** Whatever leads out of the starting directory fails with EXDEV. */
  beneath: 0x08,
  /** The starting directory is `/`: absolute links and `..` end in it. */
  inRoot: 0x10,
} as const;

// struct open_how { u64 flags, mode, resolve }. One call runs at a time on a thread, and each thread has its own.
const how = Buffer.alloc(24);

/**
 * Opens a path.
 *
 * @param path its bytes, ended by a NUL.
 * @returns the descriptor; below 0 if it failed, with errno set.
 */
export function openat2(
  directory: number,
  path: Uint8Array,
  flags: number,
  resolve: number,
  mode = 0,
): number {
  how.writeBigUInt64LE(BigInt(flags), 0);
  how.writeBigUInt64LE(BigInt(mode), 8);
  how.writeBigUInt64LE(BigInt(resolve), 16);
  return syscall(SYS_openat2, directory, path, how, how.length);
}
