/**
 * Memory that a worker thread uses again for each of its jobs. An image may have hundreds of small layers: fresh
 * buffers and decompressors for each would be some 400 KB of garbage a layer, and V8 collects after a few of those.
 */
import { gzipInflater, type Inflater } from '#foundation/linux/inflate.ts';
import { isalInflaters } from '#foundation/linux/isal.ts';

/** Bytes read and decompressed at once: big enough that calls cost little, small enough for the processor's cache. */
const pieceBytes = 256 * 1024;

/** A thread's memory, for one job at a time. */
export interface Scratch {
  /** For compressed bytes. */
  input(): Buffer;
  /** For decompressed ones. */
  output(): Buffer;
  /** A gzip decompressor at the begin of a member; the scratch's own, so that nobody closes it. */
  gzip(): Inflater;
}

/** Makes one that holds nothing yet. */
export function createScratch(): Scratch {
  let input: Buffer | undefined;
  let output: Buffer | undefined;
  let inflater: Inflater | undefined;
  // The faster library where it is installed.
  const fastest = isalInflaters() ?? gzipInflater;
  return {
    input: () => {
      input ??= Buffer.allocUnsafeSlow(pieceBytes);
      return input;
    },
    output: () => {
      output ??= Buffer.allocUnsafeSlow(pieceBytes);
      return output;
    },
    gzip: () => {
      if (inflater === undefined) inflater = fastest();
      else inflater.reset();
      const { step, reset } = inflater;
      return { step, reset, close: () => {} };
    },
  };
}
