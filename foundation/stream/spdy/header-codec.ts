/**
 * Header blocks of SPDY/3: names and values, compressed with one zlib stream per direction for the whole
 * session (draft-mbelshe-httpbis-spdy-00, section 2.6.10). Blocks must therefore pass in wire order.
 */
import { constants, createDeflate, createInflate } from 'node:zlib';
import { SkiffError } from '#foundation/base/errors.ts';
import { spdyDictionary } from './dictionary.ts';

/** Headers by lower-case name; several values of one name are joined with NUL, as on the wire. */
export type Headers = Record<string, string>;

/** Bytes of the largest header block after decompression: bounds what a small frame can blow up to. */
const maxBlockBytes = 256 * 1024;

/** Compresses and decompresses the header blocks of one session. */
export interface HeaderCodec {
  /** Bytes for a frame. */
  compress(headers: Headers): Promise<Buffer>;
  /** @throws SkiffError INVALID_ARGUMENT for anything but a whole block of sane size. */
  decompress(block: Buffer): Promise<Headers>;
  /** Frees zlib's memory. */
  close(): void;
}

/** Makes the codec of a new session. */
export function headerCodec(): HeaderCodec {
  const deflate = createDeflate({ dictionary: spdyDictionary, windowBits: 11, memLevel: 1 });
  const inflate = createInflate({ dictionary: spdyDictionary, finishFlush: constants.Z_SYNC_FLUSH });
  const collect = { deflated: [] as Buffer[], inflated: [] as Buffer[], size: 0 };
  const failed = Promise.withResolvers<never>();
  failed.promise.catch(() => {});
  const fail = (why: string) =>
    failed.reject(new SkiffError('INVALID_ARGUMENT', `Cannot read a SPDY header block: ${why}`));
  deflate.on('data', (chunk: Buffer) => collect.deflated.push(chunk));
  inflate.on('data', (chunk: Buffer) => {
    collect.size += chunk.length;
    if (collect.size <= maxBlockBytes) collect.inflated.push(chunk);
    else inflate.destroy(new Error(`more than ${maxBlockBytes} bytes`));
  });
  deflate.on('error', (error) => fail(error.message));
  inflate.on('error', (error) => fail(error.message));
  return {
    compress: async (headers) => {
      const done = new Promise<void>((resolve) => {
        deflate.write(encodeHeaders(headers));
        deflate.flush(constants.Z_SYNC_FLUSH, resolve);
      });
      await Promise.race([done, failed.promise]);
      return Buffer.concat(collect.deflated.splice(0));
    },
    decompress: async (block) => {
      collect.size = 0;
      const done = new Promise<void>((resolve) => inflate.write(block, () => resolve()));
      await Promise.race([done, failed.promise]);
      return decodeHeaders(Buffer.concat(collect.inflated.splice(0)));
    },
    close: () => {
      deflate.destroy();
      inflate.destroy();
    },
  };
}

/** A block before compression: a count, then each name and value with a 32-bit length before it. */
function encodeHeaders(headers: Headers): Buffer {
  const entries = Object.entries(headers);
  const parts: Buffer[] = [number32(entries.length)];
  for (const [name, value] of entries) {
    for (const text of [name.toLowerCase(), value]) {
      const bytes = Buffer.from(text, 'utf8');
      parts.push(number32(bytes.length), bytes);
    }
  }
  return Buffer.concat(parts);
}

/** The headers in a decompressed block. @throws SkiffError INVALID_ARGUMENT if it is cut short. */
function decodeHeaders(block: Buffer): Headers {
  const headers: Headers = {};
  let at = 0;
  const take = (length: number): Buffer => {
    if (at + length > block.length) {
      throw new SkiffError('INVALID_ARGUMENT', 'Cannot read a SPDY header block: it is cut short');
    }
    at += length;
    return block.subarray(at - length, at);
  };
  const takeText = () => take(take(4).readUInt32BE(0)).toString('utf8');
  const count = take(4).readUInt32BE(0);
  for (let index = 0; index < count; index += 1) {
    const name = takeText().toLowerCase();
    Object.defineProperty(headers, name, { value: takeText(), enumerable: true, configurable: true });
  }
  return headers;
}

function number32(value: number): Buffer {
  const bytes = Buffer.allocUnsafe(4);
  bytes.writeUInt32BE(value);
  return bytes;
}
