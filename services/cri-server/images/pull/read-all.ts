/** Reads a small stream whole. */
import type { Readable } from 'node:stream';
import { SkiffError } from '#foundation/base/errors.ts';

/** @throws SkiffError DATA_LOSS if there is more than `most` bytes; what the stream throws. */
export async function readAll(stream: Readable, most: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of stream as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > most) throw new SkiffError('DATA_LOSS', `more than the announced ${most} bytes arrived`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}
