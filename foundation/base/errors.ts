/**
 * The one error class of Skiff and the one table that maps its codes to gRPC, HTTP, exit status and
 * retryability. Messages say what failed, on what and why: `Cannot stop container "x": ...`.
 */

/** gRPC status numbers: https://grpc.github.io/grpc/core/md_doc_statuscodes.html */
interface CodeRow {
  /** gRPC status code number. */
  grpc: number;
  /** HTTP status. */
  http: number;
  /** Exit status of the command line (sysexits.h where one fits). */
  exit: number;
  /** Whether the same call may succeed later without anybody changing its arguments. */
  retryable: boolean;
}

const table = {
  CANCELLED: { grpc: 1, http: 499, exit: 130, retryable: false },
  INVALID_ARGUMENT: { grpc: 3, http: 400, exit: 64, retryable: false },
  DEADLINE_EXCEEDED: { grpc: 4, http: 504, exit: 75, retryable: true },
  NOT_FOUND: { grpc: 5, http: 404, exit: 66, retryable: false },
  ALREADY_EXISTS: { grpc: 6, http: 409, exit: 73, retryable: false },
  PERMISSION_DENIED: { grpc: 7, http: 403, exit: 77, retryable: false },
  RESOURCE_EXHAUSTED: { grpc: 8, http: 429, exit: 75, retryable: true },
  FAILED_PRECONDITION: { grpc: 9, http: 412, exit: 69, retryable: false },
  ABORTED: { grpc: 10, http: 409, exit: 75, retryable: true },
  OUT_OF_RANGE: { grpc: 11, http: 400, exit: 64, retryable: false },
  UNIMPLEMENTED: { grpc: 12, http: 501, exit: 69, retryable: false },
  INTERNAL: { grpc: 13, http: 500, exit: 70, retryable: false },
  UNAVAILABLE: { grpc: 14, http: 503, exit: 69, retryable: true },
  DATA_LOSS: { grpc: 15, http: 500, exit: 65, retryable: false },
  UNAUTHENTICATED: { grpc: 16, http: 401, exit: 77, retryable: false },
  /** gRPC UNKNOWN, for the CRI's errors that the kubelet tells by message prefix and not by code. */
  UNKNOWN: { grpc: 2, http: 500, exit: 70, retryable: false },
} as const satisfies Record<string, CodeRow>;

/** The name of an error's kind; gRPC's names. */
export type ErrorCode = keyof typeof table;

/** What the table says of a code. */
export function codeRow(code: ErrorCode): CodeRow {
  return table[code];
}

/** The code behind a gRPC status number; UNKNOWN for numbers that are not in the table. */
export function codeFromGrpc(number: number): ErrorCode {
  for (const [code, row] of Object.entries(table)) if (row.grpc === number) return code as ErrorCode;
  return 'UNKNOWN';
}

/** An error with a code, a message for people, and its cause. */
export class SkiffError extends Error {
  readonly code: ErrorCode;
  /** The kernel's name of the failure (`ENOENT`), where one was the cause. */
  readonly errno: string | undefined;

  constructor(code: ErrorCode, message: string, options: { cause?: unknown; errno?: string } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'SkiffError';
    this.code = code;
    this.errno = options.errno;
  }
}

/** Whether `error` is a SkiffError, of one of `codes` if any are named. */
export function isSkiffError(error: unknown, ...codes: ErrorCode[]): error is SkiffError {
  return error instanceof SkiffError && (codes.length === 0 || codes.includes(error.code));
}

const errnoCodes: Record<string, ErrorCode> = {
  ENOENT: 'NOT_FOUND',
  ESRCH: 'NOT_FOUND',
  EEXIST: 'ALREADY_EXISTS',
  EACCES: 'PERMISSION_DENIED',
  EPERM: 'PERMISSION_DENIED',
  EROFS: 'FAILED_PRECONDITION',
  EBUSY: 'FAILED_PRECONDITION',
  ENOTEMPTY: 'FAILED_PRECONDITION',
  EINVAL: 'INVALID_ARGUMENT',
  ENAMETOOLONG: 'INVALID_ARGUMENT',
  ENOSPC: 'RESOURCE_EXHAUSTED',
  EDQUOT: 'RESOURCE_EXHAUSTED',
  EMFILE: 'RESOURCE_EXHAUSTED',
  ENFILE: 'RESOURCE_EXHAUSTED',
  ENOMEM: 'RESOURCE_EXHAUSTED',
  ECONNREFUSED: 'UNAVAILABLE',
  ECONNRESET: 'UNAVAILABLE',
  ETIMEDOUT: 'DEADLINE_EXCEEDED',
  ENOSYS: 'UNIMPLEMENTED',
  EOPNOTSUPP: 'UNIMPLEMENTED',
};

/** The code for an errno name; INTERNAL for those without a better one. */
export function codeFromErrno(errno: string): ErrorCode {
  return errnoCodes[errno] ?? 'INTERNAL';
}

/** The errno name that a thrown value carries (Node's `code`, or a SkiffError's `errno`). */
export function errnoOf(error: unknown): string | undefined {
  if (error instanceof SkiffError) return error.errno;
  if (error instanceof Error && 'code' in error && typeof error.code === 'string') return error.code;
  return undefined;
}

/** The first cause under the `SuppressedError`s that a disposable stack piles up. */
export function firstCause(error: unknown): unknown {
  let current = error;
  while (current instanceof SuppressedError) current = current.suppressed;
  return current;
}

/** The message of whatever was thrown. */
export function messageOf(error: unknown): string {
  const cause = firstCause(error);
  return cause instanceof Error ? cause.message : String(cause);
}

/**
 * Wraps whatever was thrown: a SkiffError keeps its code, an errno is translated, an abort becomes
 * CANCELLED or DEADLINE_EXCEEDED, all else becomes INTERNAL.
 *
 * @param what what was being done: `Cannot stop container "x"`; the cause's message follows a colon.
 */
export function wrapError(error: unknown, what: string): SkiffError {
  const cause = firstCause(error);
  const errno = errnoOf(cause);
  const message = `${what}: ${messageOf(cause)}`;
  if (cause instanceof SkiffError) return new SkiffError(cause.code, message, { cause, errno });
  return new SkiffError(codeOfForeign(cause, errno), message, { cause, errno });
}

function codeOfForeign(cause: unknown, errno: string | undefined): ErrorCode {
  if (cause instanceof Error && cause.name === 'TimeoutError') return 'DEADLINE_EXCEEDED';
  if (cause instanceof Error && cause.name === 'AbortError') return 'CANCELLED';
  return errno === undefined ? 'INTERNAL' : codeFromErrno(errno);
}
