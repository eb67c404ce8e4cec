/** Copies streams to one that many share, such as the terminal; the target stays open. */
import { once } from 'node:events';
import type { Writable } from 'node:stream';

/**
 * Writes all of `source` to `target`, no faster than it takes it. Unlike pipeline it adds no listeners that
 * stay, so any number of copies can share a target.
 */
export async function copyTo(source: AsyncIterable<string | Uint8Array>, target: Writable): Promise<void> {
  for await (const chunk of source) {
    if (!target.write(chunk)) await once(target, 'drain');
  }
}
