/** The beginning of the body of an HTTP answer, by each of the ways that its end is told. */
import { maxOutput } from './outcome.ts';

/** Reads one body. */
export interface BodyReader {
  /** Takes what came. @returns whether it is whole, or as much of it as is kept. @throws Error */
  take(bytes: Buffer): boolean;
  text(): string;
  /** Whether the end of the connection is its end. */
  readonly mayEnd: boolean;
}

/** Bytes that may be in between the data of chunks: one could say nothing else for ever. */
const maxBetween = 64 * 1024;

/** @param end the body's length, or how its end is told. */
export function bodyReader(end: number | 'chunked' | 'until the end'): BodyReader {
  const parts: Buffer[] = [];
  let size = 0;
  const keep = (bytes: Buffer) => {
    parts.push(Buffer.from(bytes.subarray(0, maxOutput - size)));
    size += bytes.length;
  };
  const chunks = end === 'chunked' ? chunkReader(keep) : undefined;
  const take = (bytes: Buffer): boolean => {
    if (chunks !== undefined) return chunks(bytes);
    if (typeof end === 'number') keep(bytes.subarray(0, end - size));
    else keep(bytes);
    return size === end;
  };
  return {
    take: (bytes) => take(bytes) || size >= maxOutput,
    text: () => Buffer.concat(parts).toString(),
    mayEnd: end === 'until the end',
  };
}

/** RFC 9112, 7.1: a size in hexadecimal with extensions, the data, an empty line; a size of 0 ends it. */
function chunkReader(keep: (bytes: Buffer) => void): (bytes: Buffer) => boolean {
  let left = 0;
  let line = '';
  let isAfterData = false;
  let between = 0;
  return (bytes) => {
    for (let at = 0; at < bytes.length; ) {
      if (left > 0) {
        const data = bytes.subarray(at, at + left);
        keep(data);
        left -= data.length;
        at += data.length;
        isAfterData = left === 0;
        continue;
      }
      const lf = bytes.indexOf(10, at);
      const stop = lf === -1 ? bytes.length : lf;
      line += bytes.toString('latin1', at, stop);
      between += stop - at + 1;
      if (between > maxBetween) throw new Error('chunked encoding contains too much non-data');
      if (lf === -1) return false;
      at = lf + 1;
      const text = line.trim();
      line = '';
      if (isAfterData) {
        if (text !== '') throw new Error('malformed chunked encoding');
        isAfterData = false;
        continue;
      }
      left = sizeOf(text);
      if (left === 0) return true;
    }
    return false;
  };
}

function sizeOf(line: string): number {
  const hex = /^([0-9a-fA-F]{1,8})\s*(?:;|$)/.exec(line)?.[1];
  if (hex === undefined) throw new Error('invalid byte in chunk length');
  return Number.parseInt(hex, 16);
}
