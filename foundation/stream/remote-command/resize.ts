/** Terminal sizes on the wire: JSON objects `{"Width":80,"Height":24}`, one after another. */
import type { TerminalSize } from './protocol.ts';

/** Bytes of an unfinished object after which the rest of the channel is ignored. */
const maxPendingBytes = 4096;

/**
 * Reads sizes from a resize channel. Sizes of zero and what is no size are left out; anything that is not a
 * row of JSON objects ends the sequence, since where the next object starts is then unknown.
 */
export async function* readResizes(source: AsyncIterable<Buffer | string>): AsyncGenerator<TerminalSize> {
  let pending = '';
  try {
    for await (const chunk of source) {
      pending += chunk.toString();
      for (let end = pending.indexOf('}'); end >= 0; end = pending.indexOf('}')) {
        const size = parseSize(pending.slice(0, end + 1));
        pending = pending.slice(end + 1);
        if (size !== undefined) yield size;
      }
      if (pending.length > maxPendingBytes) return;
    }
  } catch {
    // The connection broke or an object was no JSON: no more sizes will come.
  }
}

function parseSize(text: string): TerminalSize | undefined {
  const value: unknown = JSON.parse(text);
  if (typeof value !== 'object' || value === null) return undefined;
  const { Width: width, Height: height } = value as { Width?: unknown; Height?: unknown };
  if (!isSize(width) || !isSize(height)) return undefined;
  return { width, height };
}

/** Terminal sizes are 16 bits wide (struct winsize, ioctl_tty(2)). */
function isSize(value: unknown): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value > 0 && value <= 0xffff;
}

/** A size as it goes over the wire. */
export function encodeResize({ width, height }: TerminalSize): Buffer {
  return Buffer.from(`${JSON.stringify({ Width: width, Height: height })}\n`);
}
