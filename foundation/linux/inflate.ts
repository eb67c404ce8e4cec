/**
 * Synchronous streaming decompression for worker threads: gzip through the zlib and zstd through the
 * libzstd that Node's binary carries and exports. Node's own streams hop to the thread pool for every
 * chunk; these do not.
 */
import { SkiffError } from '#foundation/base/errors.ts';
import { addressOf, declareInNode } from './libc.ts';

const inflateInit2 = declareInNode(
  'int inflateInit2_(void *stream, int windowBits, const char *version, int streamSize)',
);
const inflate = declareInNode('int inflate(void *stream, int flush)');
const inflateReset = declareInNode('int inflateReset(void *stream)');
const inflateEnd = declareInNode('int inflateEnd(void *stream)');

/** What one step consumed and made. */
export interface InflateStep {
  /** Bytes taken from the input. */
  consumed: number;
  /** Bytes written to the output. */
  produced: number;
  /** A whole gzip member or zstd frame has ended; another may follow. */
  ended: boolean;
}

/** A decompressor. Not for use after `close`. */
export interface Inflater {
  /**
   * Decompresses from `input` into `output` until either is used up or a member ends.
   *
   * @throws SkiffError DATA_LOSS if the input is damaged.
   */
  step(input: Uint8Array, output: Uint8Array): InflateStep;
  /** Begins a new member or frame. */
  reset(): void;
  close(): void;
}

/** sizeof(z_stream) on 64-bit Linux, and where its fields are: zlib.h. */
const zStreamBytes = 112;
/** windowBits: the largest window, and 16 more for a gzip header. */
const gzipWindow = 15 + 16;
const Z_STREAM_END = 1;
const Z_BUF_ERROR = -5;

/** Makes a gzip decompressor. */
export function gzipInflater(): Inflater {
  const stream = Buffer.alloc(zStreamBytes);
  if (inflateInit2(stream, gzipWindow, '1.2.11', zStreamBytes) !== 0)
    throw new SkiffError('INTERNAL', 'Cannot start zlib: it refuses the version or has no memory');
  return {
    step(input, output) {
      stream.writeBigUInt64LE(addressOf(input), 0);
      stream.writeUInt32LE(input.length, 8);
      stream.writeBigUInt64LE(addressOf(output), 24);
      stream.writeUInt32LE(output.length, 32);
      const result = inflate(stream, 0);
      if (result < 0 && result !== Z_BUF_ERROR)
        throw new SkiffError('DATA_LOSS', `the gzip data is damaged (zlib error ${result})`);
      return {
        consumed: input.length - stream.readUInt32LE(8),
        produced: output.length - stream.readUInt32LE(32),
        ended: result === Z_STREAM_END,
      };
    },
    reset: () => void inflateReset(stream),
    close: () => void inflateEnd(stream),
  };
}

const createDStream = declareInNode('void *ZSTD_createDStream()') as unknown as () => unknown;
const freeDStream = declareInNode('size_t ZSTD_freeDStream(void *stream)') as unknown as Opaque;
const setParameter = declareInNode(
  'size_t ZSTD_DCtx_setParameter(void *stream, int parameter, int value)',
) as unknown as Opaque;
const decompressStream = declareInNode(
  'size_t ZSTD_decompressStream(void *stream, void *output, void *input)',
) as unknown as Opaque;
const resetDCtx = declareInNode('size_t ZSTD_DCtx_reset(void *stream, int what)') as unknown as Opaque;

/** A native function whose first argument is an opaque pointer. */
type Opaque = (stream: unknown, ...rest: (number | Uint8Array)[]) => number | bigint;

/** ZSTD_d_windowLogMax, and the largest window accepted: 128 MiB, as RFC 8878 suggests at least 8 MiB. */
const ZSTD_d_windowLogMax = 100;
const maxWindowLog = 27;
const ZSTD_reset_session_only = 1;

/** Makes a zstd decompressor. */
export function zstdInflater(): Inflater {
  const stream = createDStream();
  setParameter(stream, ZSTD_d_windowLogMax, maxWindowLog);
  // ZSTD_inBuffer and ZSTD_outBuffer: pointer, size, position.
  const inBuffer = Buffer.alloc(24);
  const outBuffer = Buffer.alloc(24);
  return {
    step(input, output) {
      describe(inBuffer, input);
      describe(outBuffer, output);
      const result = BigInt.asIntN(64, BigInt(decompressStream(stream, outBuffer, inBuffer)));
      // ZSTD_isError: results are small negative numbers.
      if (result < 0n && result > -1000n)
        throw new SkiffError('DATA_LOSS', `the zstd data is damaged (zstd error ${-result})`);
      return {
        consumed: Number(inBuffer.readBigUInt64LE(16)),
        produced: Number(outBuffer.readBigUInt64LE(16)),
        ended: result === 0n,
      };
    },
    reset: () => void resetDCtx(stream, ZSTD_reset_session_only),
    close: () => void freeDStream(stream),
  };
}

function describe(memory: Buffer, data: Uint8Array): void {
  memory.writeBigUInt64LE(addressOf(data), 0);
  memory.writeBigUInt64LE(BigInt(data.length), 8);
  memory.writeBigUInt64LE(0n, 16);
}
