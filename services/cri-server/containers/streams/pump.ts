/** Carries bytes between a session's streams and pipes, as fast as the slower side takes them. */
import type { Readable, Writable } from 'node:stream';

/** Milliseconds without a byte after the command's end until a pipe that its children hold open is left. */
const lingerMs = 500;

/**
 * Copies `from` into `to` until it ends. Without `to` it is read and dropped, or its writer would block.
 *
 * @param over resolves when the writer has ended: then a silent pipe is left after a short while.
 */
export async function pumpOut(
  from: Readable,
  to: Writable | undefined,
  over: Promise<unknown>,
): Promise<void> {
  let ended = false;
  const note = () => {
    ended = true;
  };
  const end = over.then(note, note);
  const iterator = from.iterator({ destroyOnReturn: false })[Symbol.asyncIterator]();
  try {
    for (;;) {
      const next = await nextChunk(iterator, () => ended, end);
      if (next === undefined || next.done === true) return;
      if (to === undefined || to.destroyed) continue;
      if (!to.write(next.value)) await drained(to);
    }
  } catch {
    // A terminal whose program has gone reads as EIO, a broken client as EPIPE: the end of the copy.
  } finally {
    from.destroy();
  }
}

/** The next chunk; undefined if the writer is gone and nothing came for a while. */
async function nextChunk(
  iterator: AsyncIterator<Buffer>,
  ended: () => boolean,
  end: Promise<void>,
): Promise<IteratorResult<Buffer> | undefined> {
  const next = iterator.next();
  if (!ended()) {
    const first = await Promise.race([next, end.then(() => 'ended' as const)]);
    if (first !== 'ended') return first;
  }
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<undefined>((resolve) => {
    timer = setTimeout(() => resolve(undefined), lingerMs);
  });
  const result = await Promise.race([next, late]);
  clearTimeout(timer);
  if (result === undefined) next.catch(() => {});
  return result;
}

function drained(to: Writable): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      to.off('drain', done);
      to.off('close', done);
      to.off('error', done);
      resolve();
    };
    to.once('drain', done);
    to.once('close', done);
    to.once('error', done);
  });
}

/** Copies what the client sends into `to`, and its half-close: the program then reads the end of its input. */
export function pumpIn(from: Readable | undefined, to: Writable, halfClose = true): void {
  to.on('error', () => {}); // The program may end, or close its input, at any time.
  if (from === undefined) {
    if (halfClose) to.end();
    return;
  }
  from.on('error', () => to.destroy());
  from.pipe(to, { end: halfClose });
}
