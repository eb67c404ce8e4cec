/** Reads a blob of this machine for an upload: exactly its bytes, and what goes wrong here is told as such. */
import type { Readable } from 'node:stream';
import { type SkiffError, wrapError } from '#foundation/base/errors.ts';
import { corrupt } from '../errors.ts';

/** A blob to send. */
export interface LocalBlob {
  /** Bytes. */
  size: number;
  open: () => Readable;
}

/** A blob being sent. */
export interface BlobReader {
  /** Opens the blob's bytes; once for each try. */
  open(): AsyncIterable<Uint8Array>;
  /** Why it could not be read, if it could not. */
  failure(): SkiffError | undefined;
}

/** Who wants to know. */
interface ReaderEvents {
  /** The connection took bytes. */
  taken(bytes: number): void;
  /** It took the last. */
  ended(): void;
}

/** Makes a reader. */
export function readBlob(what: string, blob: LocalBlob, events: ReaderEvents): BlobReader {
  let failure: SkiffError | undefined;
  const fail = (error: SkiffError): never => {
    failure = error;
    throw error;
  };
  async function* read(): AsyncGenerator<Uint8Array> {
    let size = 0;
    // While a chunk is out, an error that arrives here is the connection's: streams throw it into their source.
    let isOut = false;
    try {
      for await (const chunk of blob.open() as AsyncIterable<Buffer>) {
        size += chunk.length;
        if (size > blob.size) break;
        isOut = true;
        yield chunk;
        isOut = false;
        events.taken(chunk.length);
      }
    } catch (error) {
      if (isOut) throw error;
      fail(wrapError(error, `Cannot ${what}: the blob here cannot be read`));
    }
    if (size !== blob.size)
      fail(corrupt(what, `the blob here has ${size > blob.size ? 'more' : size} bytes, not ${blob.size}`));
    events.ended();
  }
  return { open: read, failure: () => failure };
}
