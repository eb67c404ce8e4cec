/** Reads an answer to a (ranged) request for a blob: where its bytes start, and whether they can be right. */
import { pipeline, type Readable, type Transform } from 'node:stream';
import { createBrotliDecompress, createGunzip, createInflate, createZstdDecompress } from 'node:zlib';
import { corrupt, headerOf, unfit } from '../errors.ts';
import type { WireResponse } from '../http/send.ts';

/** Bytes of a blob from some place on. */
export interface BlobSource {
  body: Readable;
  /** Bytes at the start of the body that lie before what was asked for. */
  skip: number;
  /** Who sends: `host:port`. */
  from: string;
}

/** What was asked for. */
export interface WantedRange {
  /** First byte. */
  offset: number;
  /** The whole blob's size. */
  size: number;
}

/** What an answer turned out to be. */
export type SourceResult =
  | { kind: 'source'; source: BlobSource }
  /** The answer is no use for this range; the whole blob must be asked for. */
  | { kind: 'no-range' };

/**
 * Judges an answer with status 200 or 206.
 *
 * @throws SkiffError DATA_LOSS if the blob has another length there, FAILED_PRECONDITION for an encoding that
 *   is not known. The body is destroyed then.
 */
export function sourceOf(what: string, answer: WireResponse, wanted: WantedRange): SourceResult {
  try {
    return judge(what, answer, wanted);
  } catch (error) {
    answer.body.destroy();
    throw error;
  }
}

function judge(what: string, answer: WireResponse, { offset, size }: WantedRange): SourceResult {
  const from = answer.url.host;
  const range = answer.status === 206 ? contentRange(headerOf(answer.headers, 'content-range')) : undefined;
  if (answer.status === 206 && (range === undefined || range.start > offset)) return noRange(answer);
  if (range?.total !== undefined && range.total !== size) throw wrongSize(what, from, range.total, size);
  const start = range?.start ?? 0;
  const length = numberOf(headerOf(answer.headers, 'content-length'));
  const encoding = headerOf(answer.headers, 'content-encoding')?.trim().toLowerCase() ?? 'identity';
  const encoded = encoding !== 'identity' && encoding !== '' && length !== size - start;
  // A range of encoded bytes is not a range of the blob's.
  if (encoded && start > 0) return noRange(answer);
  if (!encoded && length !== undefined && range === undefined && length !== size)
    throw wrongSize(what, from, length, size);
  const body = encoded ? decoded(what, from, answer, encoding) : answer.body;
  return { kind: 'source', source: { body, skip: offset - start, from } };
}

function noRange(answer: WireResponse): SourceResult {
  answer.body.destroy();
  return { kind: 'no-range' };
}

/** `bytes 100-199/200`, where the total may be `*` (RFC 9110, 14.4). */
function contentRange(value: string | undefined): { start: number; total?: number } | undefined {
  const match = /^bytes\s+(\d+)-\d+\/(\d+|\*)$/i.exec(value?.trim() ?? '');
  if (match === null) return undefined;
  return { start: Number(match[1]), total: match[2] === '*' ? undefined : Number(match[2]) };
}

function numberOf(text: string | undefined): number | undefined {
  return text !== undefined && /^\d+$/.test(text) ? Number(text) : undefined;
}

/**
 * Skiff asks for no encoding. A server may add one all the same; where the length shows that the header is a
 * mere label of gzip layers, the bytes are taken as they are (see `judge`).
 */
function decoded(what: string, from: string, answer: WireResponse, encoding: string): Readable {
  const decoder = decoderOf(encoding);
  if (decoder === undefined)
    throw unfit(what, `${from} sends the blob in an unknown encoding, "${encoding}"`);
  pipeline(answer.body, decoder, () => {}); // Errors reach the reader through the decoder.
  return decoder;
}

function decoderOf(encoding: string): Transform | undefined {
  if (encoding === 'gzip' || encoding === 'x-gzip') return createGunzip();
  if (encoding === 'deflate') return createInflate();
  if (encoding === 'br') return createBrotliDecompress();
  if (encoding === 'zstd') return createZstdDecompress();
  return undefined;
}

function wrongSize(what: string, from: string, actual: number, size: number) {
  return corrupt(what, `${from} has ${actual} bytes for this blob, its manifest says ${size}`);
}
