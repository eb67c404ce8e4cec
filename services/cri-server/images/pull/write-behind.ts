/**
 * Writes to disk what a pull has unpacked so far while it unpacks the rest: else the disk stands idle until the end, and
 * the pull then waits for it.
 */

/** Writes behind one pull. */
export interface WriteBehind {
  /** Tells that so many bytes more were unpacked. */
  unpacked(bytes: number): void;
  /** Resolves when nothing is being written behind any more. @throws what the writing threw. */
  settled(): Promise<void>;
}

/** Bytes after which it is worth to begin: fewer are written in a moment. */
const stretchBytes = 64 * 1024 * 1024;

/** @param sync makes everything durable that was written so far, without blocking the caller. */
export function writeBehind(sync: () => Promise<void>): WriteBehind {
  let waiting = 0;
  let writing: Promise<void> | undefined;
  let failure: { error: unknown } | undefined;
  const begin = () => {
    if (writing !== undefined || waiting < stretchBytes) return;
    waiting = 0;
    writing = sync()
      .catch((error: unknown) => {
        failure ??= { error };
      })
      .finally(() => {
        writing = undefined;
        begin();
      });
  };
  return {
    unpacked: (bytes) => {
      waiting += bytes;
      begin();
    },
    settled: async () => {
      waiting = 0; // What is left is the final sync's.
      await writing;
      if (failure !== undefined) throw failure.error;
    },
  };
}
