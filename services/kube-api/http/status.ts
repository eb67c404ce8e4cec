/** Failures as the API tells them: Status objects with the original's reasons, codes and words. */
import type { KindInfo } from '#contracts/kubernetes/kinds.ts';
import type { Status, StatusDetails } from '#contracts/kubernetes/types.ts';
import { type FieldProblem, problemText } from '#contracts/kubernetes/validation/problems.ts';
import { codeRow, type ErrorCode, isSkiffError, SkiffError } from '#foundation/base/errors.ts';

/** An error with the Status that the client gets. */
export class StatusError extends SkiffError {
  readonly status: Status & { code: number };

  constructor(httpStatus: number, reason: string, message: string, details?: StatusDetails) {
    super(errorCode(httpStatus), message);
    this.status = {
      kind: 'Status',
      apiVersion: 'v1',
      metadata: {},
      status: 'Failure',
      message,
      reason,
      ...(details === undefined ? {} : { details }),
      code: httpStatus,
    };
  }
}

function errorCode(status: number): ErrorCode {
  const codes: Record<number, ErrorCode> = {
    401: 'UNAUTHENTICATED',
    403: 'PERMISSION_DENIED',
    404: 'NOT_FOUND',
    409: 'ABORTED',
    410: 'OUT_OF_RANGE',
    429: 'RESOURCE_EXHAUSTED',
    501: 'UNIMPLEMENTED',
    503: 'UNAVAILABLE',
    504: 'DEADLINE_EXCEEDED',
  };
  return codes[status] ?? (status >= 500 ? 'INTERNAL' : 'INVALID_ARGUMENT');
}

/** What a resource is called in messages: `pods`, `leases.coordination.k8s.io`. */
export function resourceName({ plural, group }: Pick<KindInfo, 'plural' | 'group'>): string {
  return group === '' ? plural : `${plural}.${group}`;
}

function details({ group, plural }: KindInfo, name: string): StatusDetails {
  return { ...(name === '' ? {} : { name }), ...(group === '' ? {} : { group }), kind: plural };
}

/** 404: `pods "x" not found`. */
export function notFound(kind: KindInfo, name: string): StatusError {
  return new StatusError(404, 'NotFound', `${resourceName(kind)} "${name}" not found`, details(kind, name));
}

/** 404 for paths that nothing is at. */
export function noSuchPath(hint?: string): StatusError {
  const message = `the server could not find the requested resource${hint === undefined ? '' : `: ${hint}`}`;
  return new StatusError(404, 'NotFound', message, {});
}

/** 409: `pods "x" already exists`. */
export function alreadyExists(kind: KindInfo, name: string): StatusError {
  return new StatusError(
    409,
    'AlreadyExists',
    `${resourceName(kind)} "${name}" already exists`,
    details(kind, name),
  );
}

/** 409 with the reason that the object is not what the client thinks. */
export function conflict(kind: KindInfo, name: string, why: string): StatusError {
  const message = `Operation cannot be fulfilled on ${resourceName(kind)} "${name}": ${why}`;
  return new StatusError(409, 'Conflict', message, details(kind, name));
}

/** 409 of optimistic locking. */
export function modified(kind: KindInfo, name: string): StatusError {
  return conflict(
    kind,
    name,
    'the object has been modified; please apply your changes to the latest version and try again',
  );
}

/** 422 with all problems. */
export function invalid(kind: KindInfo, name: string, problems: readonly FieldProblem[]): StatusError {
  const texts = problems.map(problemText);
  const what = texts.length === 1 ? texts[0] : `[${texts.join(', ')}]`;
  const qualified = kind.group === '' ? kind.kind : `${kind.kind}.${kind.group}`;
  return new StatusError(422, 'Invalid', `${qualified} "${name}" is invalid: ${what}`, {
    name,
    ...(kind.group === '' ? {} : { group: kind.group }),
    kind: kind.kind,
    causes: problems.map(({ type, field, reason }) => ({ reason: type, message: reason, field })),
  });
}

/** 403: `pods "x" is forbidden: why`. */
export function forbidden(kind: KindInfo, name: string, why: string): StatusError {
  const what = name === '' ? resourceName(kind) : `${resourceName(kind)} "${name}"`;
  return new StatusError(403, 'Forbidden', `${what} is forbidden: ${why}`, details(kind, name));
}

/** 400. */
export function badRequest(message: string): StatusError {
  return new StatusError(400, 'BadRequest', message);
}

/** 401. */
export function unauthorized(): StatusError {
  return new StatusError(401, 'Unauthorized', 'Unauthorized');
}

/** 405. */
export function methodNotAllowed(): StatusError {
  return new StatusError(
    405,
    'MethodNotAllowed',
    'the server does not allow this method on the requested resource',
    {},
  );
}

/** 410: what the client asks for was compacted. */
export function expired(message: string): StatusError {
  return new StatusError(410, 'Expired', message);
}

/** 504 for revisions that are not there yet. */
export function tooLargeRevision(asked: number, current: number): StatusError {
  return new StatusError(504, 'Timeout', `Too large resource version: ${asked}, current: ${current}`, {
    causes: [{ reason: 'ResourceVersionTooLarge', message: 'Too large resource version' }],
    retryAfterSeconds: 1,
  });
}

/** 503. */
export function unavailable(message: string): StatusError {
  return new StatusError(503, 'ServiceUnavailable', message);
}

/** The Status of whatever was thrown. */
export function statusOf(error: unknown): Status & { code: number } {
  if (error instanceof StatusError) return error.status;
  const code: ErrorCode = error instanceof SkiffError ? error.code : 'INTERNAL';
  const message =
    error instanceof SkiffError ? error.message : 'Internal error occurred; the log of the node says more';
  const http = isSkiffError(error) && error.errno === 'ENOSPC' ? 507 : codeRow(code).http;
  const reasons: Record<number, string> = {
    400: 'BadRequest',
    404: 'NotFound',
    409: 'Conflict',
    429: 'TooManyRequests',
    501: 'MethodNotAllowed',
    503: 'ServiceUnavailable',
    504: 'Timeout',
    507: 'InsufficientStorage',
  };
  return new StatusError(http === 499 ? 500 : http, reasons[http] ?? 'InternalError', message).status;
}
