/** Errors on their way over gRPC: SkiffError to status at the server's edge, and back at the client's. */
import type { ServiceError, StatusObject } from '@grpc/grpc-js';
import { Metadata } from '@grpc/grpc-js';
import { codeFromGrpc, codeRow, SkiffError, wrapError } from '#foundation/base/errors.ts';

/** The gRPC status for whatever a handler threw; what is not a SkiffError is translated first. */
export function toStatus(error: unknown): Partial<StatusObject> & { code: number; details: string } {
  const known = error instanceof SkiffError ? error : wrapError(error, 'Request failed');
  return { code: codeRow(known.code).grpc, details: known.message, metadata: new Metadata() };
}

/** The SkiffError behind a failed call. */
export function fromServiceError(error: unknown): SkiffError {
  if (error instanceof SkiffError) return error;
  if (!isServiceError(error)) return wrapError(error, 'Call failed');
  return new SkiffError(codeFromGrpc(error.code), error.details || error.message, { cause: error });
}

function isServiceError(error: unknown): error is ServiceError {
  return error instanceof Error && 'code' in error && typeof error.code === 'number' && 'details' in error;
}
