/**
 * The C library, called through koffi. The only file that knows the FFI library; every other file of
 * `foundation/linux` declares its functions with `libc.declare` and gets errno translated.
 */
import { constants } from 'node:os';
import koffi from 'koffi';
import { codeFromErrno, SkiffError } from '#foundation/base/errors.ts';

const library = koffi.load('libc.so.6');

/** Second names of a number: the first ones are those that code compares with. */
const aliases = ['EWOULDBLOCK', 'ENOTSUP'];
const errnoNames = new Map(
  Object.entries(constants.errno)
    .filter(([name]) => !aliases.includes(name))
    .map(([name, number]) => [number, name]),
);

/** A C function of integers, strings and buffers; returns what C returns. */
export type Native = (...args: NativeArgument[]) => number;
/** What may be passed to C: integers, strings (NUL-terminated), memory, or a null pointer. */
export type NativeArgument = number | bigint | string | Uint8Array | null;

/**
 * Declares a function of the C library.
 *
 * @param prototype its C prototype: `int umount2(const char *target, int flags)`.
 */
export function declare(prototype: string): Native {
  return library.func(prototype) as unknown as Native;
}

/** A C function that is called on a thread of its own, so that it does not hold up the event loop. */
export type SlowNative = (...args: NativeArgument[]) => Promise<number>;

/** Declares a function of the C library that may take a while, and leaves no errno. */
export function declareSlow(prototype: string): SlowNative {
  const func = library.func(prototype);
  return (...args) =>
    new Promise((resolve, reject) => {
      func.async(...args, (error: Error | null, result: number) =>
        error === null ? resolve(result) : reject(error),
      );
    });
}

const ownBinary = koffi.load(null);

/**
 * Declares a function that Node's own binary exports for its addons: zlib and zstd, which it is built with.
 *
 * @param prototype its C prototype.
 */
export function declareInNode(prototype: string): Native {
  return ownBinary.func(prototype) as unknown as Native;
}

/**
 * Opens a shared library that may not be installed.
 *
 * @returns how to declare its functions; undefined if it cannot be opened.
 */
export function openLibrary(name: string): ((prototype: string) => Native) | undefined {
  try {
    const opened = koffi.load(name);
    return (prototype) => opened.func(prototype) as unknown as Native;
  } catch {
    return undefined;
  }
}

/** Where memory lies, for structures that hold pointers. Valid as long as the caller keeps `memory` referenced. */
export function addressOf(memory: Uint8Array): bigint {
  return BigInt(koffi.address(memory));
}

/** The name of an errno value: `ENOENT`. */
function errnoName(number: number): string {
  return errnoNames.get(number) ?? `errno ${number}`;
}

/** The errno of the last failed call on this thread, by name: for a failure that is expected, and so costs no error. */
export function lastErrno(): string {
  return errnoName(koffi.errno());
}

/** The error that the last failed call on this thread left, as a SkiffError: `mount "/a": EBUSY`. */
export function lastError(what: string): SkiffError {
  return errnoError(koffi.errno(), what);
}

/** A SkiffError for an errno value. */
export function errnoError(number: number, what: string): SkiffError {
  const errno = errnoName(number);
  const text = describeErrno(errno);
  return new SkiffError(codeFromErrno(errno), `${what}: ${text}`, { errno });
}

/**
 * Passes a call's result on.
 *
 * @throws SkiffError with the errno's code if the result is negative.
 */
export function check(result: number, what: string): number {
  if (result < 0) throw lastError(what);
  return result;
}

const descriptions: Record<string, string> = {
  ENOENT: 'no such file or directory',
  EEXIST: 'it exists already',
  EBUSY: 'it is busy',
  EPERM: 'the kernel does not permit it',
  EACCES: 'access denied',
  EINVAL: 'invalid argument, or not supported by this kernel',
  ENOSPC: 'no space left',
  ENOSYS: 'this kernel has no such call',
  EMFILE: 'too many open files in this process',
};

function describeErrno(errno: string): string {
  const text = descriptions[errno];
  return text === undefined ? errno : `${text} (${errno})`;
}
