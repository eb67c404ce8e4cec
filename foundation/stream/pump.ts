/** Moves bytes between streams with backpressure. */
import { once } from 'node:events';
import type { Duplex, Readable, Writable } from 'node:stream';
import type { TerminalSize } from './remote-command/protocol.ts';
import { encodeResize } from './remote-command/resize.ts';

/** Copies until the source ends, and leaves the target open: several sources may share it. */
export async function pump(source: Readable, target: Writable): Promise<void> {
  for await (const chunk of source) {
    if (!target.write(chunk)) await drained(target);
  }
}

async function drained(target: Writable): Promise<void> {
  const closed = new AbortController();
  const onClose = () => closed.abort(new Error('the target was closed'));
  target.once('close', onClose);
  try {
    await once(target, 'drain', { signal: closed.signal });
  } finally {
    target.off('close', onClose);
  }
}

/** Sends a terminal's sizes until they or the stream end. */
export async function sendResizes(
  sizes: AsyncIterable<TerminalSize> | undefined,
  target: Writable,
): Promise<void> {
  try {
    for await (const size of sizes ?? []) {
      if (!target.writable) return;
      target.write(encodeResize(size));
    }
  } catch {
    // Sizes are a courtesy: the session goes on without them.
  }
}

/**
 * Couples two connections, each half ending with its counterpart. Resolves when both directions have ended or
 * one connection broke; both are closed then.
 */
export async function couple(one: Duplex, other: Duplex): Promise<void> {
  const direction = (from: Duplex, to: Duplex) =>
    new Promise<void>((resolve) => {
      from.once('end', resolve);
      from.once('close', resolve);
      from.once('error', resolve);
      to.once('close', resolve);
      from.pipe(to);
    });
  for (const each of [one, other]) each.on('error', () => {});
  one.once('close', () => {
    if (!one.readableEnded) other.destroy();
  });
  other.once('close', () => {
    if (!other.readableEnded) one.destroy();
  });
  await Promise.all([direction(one, other), direction(other, one)]);
  await Promise.all([flushed(one), flushed(other)]);
  one.destroy();
  other.destroy();
}

function flushed(stream: Duplex): Promise<void> {
  if (stream.destroyed || stream.writableFinished) return Promise.resolve();
  return new Promise((resolve) => {
    stream.once('finish', resolve);
    stream.once('close', resolve);
  });
}
