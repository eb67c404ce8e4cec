/**
 * Finds out by its first bytes how a layer is compressed, and decompresses it: gzip (RFC 1952, any number
 * of members), zstd (RFC 8878, any number of frames, skippable ones too, so zstd:chunked as well), or not at
 * all. Media types are not asked: registries and builders get them wrong.
 */
import { SkiffError } from '#foundation/base/errors.ts';
import { type Inflater, zstdInflater } from '#foundation/linux/inflate.ts';
import type { ByteSource } from './follow.ts';
import type { Scratch } from './scratch.ts';

/** A layer's uncompressed bytes. */
export interface LayerSource extends ByteSource, Disposable {}

/**
 * Decompresses `source`, in the memory of `scratch`.
 *
 * @throws SkiffError DATA_LOSS out of `next` if the data is damaged or ends early.
 */
export function decompress(source: ByteSource, scratch: Scratch): LayerSource {
  const head = readHead(source);
  const inflater = inflaterFor(head, scratch);
  const bytes = withHead(head, source);
  if (inflater === undefined) return { next: bytes.next, [Symbol.dispose]: () => {} };
  return { next: inflating(bytes, inflater, scratch.output()), [Symbol.dispose]: () => inflater.close() };
}

/** The first bytes, enough to tell the format; fewer if there are no more. */
function readHead(source: ByteSource): Buffer {
  let head = Buffer.alloc(0);
  while (head.length < 4) {
    const chunk = source.next();
    if (chunk === undefined) break;
    head = Buffer.concat([head, chunk]);
  }
  return head;
}

function withHead(head: Buffer, source: ByteSource): ByteSource {
  let first: Buffer | undefined = head.length > 0 ? head : undefined;
  return {
    next: () => {
      if (first === undefined) return source.next();
      const bytes = first;
      first = undefined;
      return bytes;
    },
  };
}

function inflaterFor(head: Buffer, scratch: Scratch): Inflater | undefined {
  if (head.length < 4) return undefined;
  if (head[0] === 0x1f && head[1] === 0x8b) return scratch.gzip();
  const magic = head.readUInt32LE(0);
  const isSkippable = magic >>> 4 === 0x184d2a5;
  if (magic === 0xfd2fb528 || isSkippable) return zstdInflater();
  const other = otherFormats.find(([start]) => head.toString('latin1', 0, start.length) === start);
  if (other !== undefined)
    throw new SkiffError(
      'INVALID_ARGUMENT',
      `it is compressed with ${other[1]}; layers may have gzip or zstd`,
    );
  return undefined;
}

/** How files of other compressors begin: no tar archive of an image does. */
const otherFormats: [string, string][] = [
  ['\xfd7zX', 'xz'],
  ['BZh', 'bzip2'],
  ['\x04"M\x18', 'lz4'],
];

function inflating(source: ByteSource, inflater: Inflater, output: Buffer): () => Uint8Array | undefined {
  let input: Uint8Array = new Uint8Array(0);
  let ended = false;
  let started = false;
  return () => {
    let filled = 0;
    while (filled < output.length) {
      if (input.length === 0) {
        const more = source.next();
        if (more === undefined) {
          if (started && !ended) throw new SkiffError('DATA_LOSS', 'the compressed data ends early');
          break;
        }
        input = more;
      }
      if (ended) {
        // Padding after the last member, as tape tools leave it, is no new member.
        if (isZero(input)) {
          input = input.subarray(input.length);
          continue;
        }
        inflater.reset();
        ended = false;
      }
      started = true;
      const step = inflater.step(input, output.subarray(filled));
      input = input.subarray(step.consumed);
      filled += step.produced;
      ended = step.ended;
      if (step.consumed === 0 && step.produced === 0 && !ended)
        throw new SkiffError('DATA_LOSS', 'the compressed data is damaged: it does not go on');
    }
    return filled > 0 ? output.subarray(0, filled) : undefined;
  };
}

function isZero(bytes: Uint8Array): boolean {
  return bytes[0] === 0 && bytes.every((byte) => byte === 0);
}
