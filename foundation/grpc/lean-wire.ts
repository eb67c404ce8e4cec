/**
 * What the lean gRPC client and server share: messages with a length before them, and statuses as trailers. For
 * small processes on unix sockets, which grpc-js's 35 MB and 100 ms would burden; the wire is the same:
 * https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md
 */
import type { IncomingHttpHeaders } from 'node:http2';
import { codeFromGrpc, codeRow, SkiffError, wrapError } from '#foundation/base/errors.ts';

/** Bytes of one message, as with grpc-js here. */
export const maxMessageBytes = 16 * 1024 * 1024;

/** A message with its prefix: not compressed, and its length in four bytes. */
export function frame(message: Uint8Array): Buffer {
  const prefix = Buffer.alloc(5);
  prefix.writeUInt32BE(message.length, 1);
  return Buffer.concat([prefix, message]);
}

/** Takes messages out of a stream of bytes, however they are cut. */
export interface FrameReader {
  /** Adds bytes; returns the messages that are whole now. @throws SkiffError for what is no gRPC message. */
  push(chunk: Buffer): Buffer[];
  /** Whether a message has begun that is not whole. */
  readonly partial: boolean;
}

/** Makes a reader with nothing read. */
export function frameReader(): FrameReader {
  let pending: Buffer = Buffer.alloc(0);
  return {
    push(chunk) {
      pending = pending.length === 0 ? chunk : Buffer.concat([pending, chunk]);
      const messages: Buffer[] = [];
      while (pending.length >= 5) {
        if (pending[0] !== 0) throw new SkiffError('UNIMPLEMENTED', 'compressed messages are not understood');
        const length = pending.readUInt32BE(1);
        if (length > maxMessageBytes)
          throw new SkiffError('RESOURCE_EXHAUSTED', `a message of ${length} bytes is too long`);
        if (pending.length < 5 + length) break;
        messages.push(pending.subarray(5, 5 + length));
        pending = pending.subarray(5 + length);
      }
      return messages;
    },
    get partial() {
      return pending.length > 0;
    },
  };
}

/** The trailers that tell of success, or of what was thrown. */
export function statusTrailers(error?: unknown): Record<string, string> {
  if (error === undefined) return { 'grpc-status': '0' };
  const known = error instanceof SkiffError ? error : wrapError(error, 'Request failed');
  return { 'grpc-status': String(codeRow(known.code).grpc), 'grpc-message': encodeURI(known.message) };
}

/** The error that trailers tell of; undefined for success. */
export function statusError(trailers: IncomingHttpHeaders): SkiffError | undefined {
  const status = Number(trailers['grpc-status'] ?? 2);
  if (status === 0) return undefined;
  const message = String(trailers['grpc-message'] ?? `gRPC status ${status}`);
  return new SkiffError(codeFromGrpc(status), unescaped(message));
}

function unescaped(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** Milliseconds of a `grpc-timeout` header; Infinity without one. */
export function timeoutOf(header: string | string[] | undefined): number {
  const [, digits, unit = ''] = /^(\d{1,8})([HMSmun])$/.exec(String(header ?? '')) ?? [];
  const factors: Record<string, number> = { H: 3.6e6, M: 6e4, S: 1e3, m: 1, u: 1e-3, n: 1e-6 };
  return digits === undefined ? Number.POSITIVE_INFINITY : Number(digits) * (factors[unit] ?? 1);
}

/** The header for a deadline. @param ms milliseconds. */
export function timeoutHeader(ms: number): string {
  return ms < 1e8 ? `${Math.max(1, Math.ceil(ms))}m` : `${Math.min(99_999_999, Math.ceil(ms / 1000))}S`;
}
