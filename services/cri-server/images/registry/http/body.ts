/** Reads small bodies whole: manifests, tokens, error texts. Bounded in bytes and in time. */
import type { Readable } from 'node:stream';
import { errnoOf } from '#foundation/base/errors.ts';

/** How reading ended. */
export type BodyResult =
  | { kind: 'whole'; bytes: Buffer }
  /** More bytes came than the limit allows. */
  | { kind: 'too-large' }
  /** The connection broke, or brought too little for too long. */
  | { kind: 'broken'; why: string; cause: unknown };

/** Reads `body` to its end, or until `maxBytes` or `maxMs` milliseconds are exceeded; then it is destroyed. */
export async function readBody(body: Readable, maxBytes: number, maxMs: number): Promise<BodyResult> {
  const chunks: Buffer[] = [];
  let size = 0;
  let late = false;
  const timer = setTimeout(() => {
    late = true;
    body.destroy();
  }, maxMs);
  try {
    for await (const chunk of body as AsyncIterable<Buffer>) {
      size += chunk.length;
      if (size > maxBytes) return { kind: 'too-large' };
      chunks.push(chunk);
    }
    if (late) throw new Error('stopped');
    return { kind: 'whole', bytes: Buffer.concat(chunks) };
  } catch (error) {
    const why = late ? `took longer than ${maxMs} ms to send its answer` : breakReason(error);
    return { kind: 'broken', why, cause: error };
  } finally {
    clearTimeout(timer);
    body.destroy();
  }
}

/** The start of an error body as text; what cannot be read is left out. */
export async function readErrorText(body: Readable, maxBytes = 16 * 1024): Promise<string> {
  const result = await readBody(body, maxBytes, 5000);
  return result.kind === 'whole' ? result.bytes.toString() : '';
}

/** Why a body ended early. */
export function breakReason(error: unknown): string {
  const code = errnoOf(error);
  return code === 'UND_ERR_RES_CONTENT_LENGTH_MISMATCH'
    ? 'sent fewer bytes than its Content-Length says'
    : `broke off the transfer${code === undefined ? '' : ` (${code})`}`;
}
