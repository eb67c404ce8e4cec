/** Writes a tar archive of files with short names, as images are saved. */

import { once } from 'node:events';
import { createReadStream } from 'node:fs';
import type { Writable } from 'node:stream';

/** Files and folders to write. */
export type ArchiveEntry = { name: string; bytes: Uint8Array } | { name: string; path: string; size: number };

const blockBytes = 512;

/**
 * Writes the entries and the end of the archive to `out`, which stays open.
 *
 * @throws what reading and writing throw.
 */
export async function writeTar(out: Writable, entries: Iterable<ArchiveEntry>): Promise<void> {
  for (const entry of entries) {
    const size = 'bytes' in entry ? entry.bytes.length : entry.size;
    await write(out, header(entry.name, size));
    if ('bytes' in entry) await write(out, entry.bytes);
    else if (size > 0)
      for await (const chunk of createReadStream(entry.path, { end: size - 1 })) await write(out, chunk);
    await write(out, Buffer.alloc((blockBytes - (size % blockBytes)) % blockBytes));
  }
  await write(out, Buffer.alloc(2 * blockBytes));
}

async function write(out: Writable, bytes: Uint8Array): Promise<void> {
  if (bytes.length > 0 && !out.write(bytes)) await once(out, 'drain');
}

/** A ustar header of a file that everybody may read, as of the epoch: the same image gives the same archive. */
function header(name: string, size: number): Buffer {
  const block = Buffer.alloc(blockBytes);
  const octal = (value: number, offset: number, length: number) =>
    block.write(`${value.toString(8).padStart(length - 1, '0')}\0`, offset, 'latin1');
  block.write(name, 0, 100, 'latin1');
  octal(0o644, 100, 8);
  octal(0, 108, 8);
  octal(0, 116, 8);
  // Eleven octal digits hold 8 GiB; larger sizes are written in base 256, as GNU tar does.
  if (size < 8 ** 11) octal(size, 124, 12);
  else {
    block.writeBigUInt64BE(BigInt(size), 128);
    block[124] = 0x80;
  }
  octal(0, 136, 12);
  block.write('0', 156, 'latin1');
  block.write('ustar\x0000', 257, 'latin1');
  block.fill(' ', 148, 156);
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  return block;
}
