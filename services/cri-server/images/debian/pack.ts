/** Packs a file tree into a layer: a sorted PAX tar, gzip, and both digests. */
import { createHash } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { join } from 'node:path';
import { Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGzip } from 'node:zlib';
import { runCommand } from '#foundation/linux/command.ts';

/** A layer in a file. */
export interface PackedLayer {
  path: string;
  /** Digest and bytes of the compressed layer. */
  digest: string;
  size: number;
  /** Digest of the uncompressed one. */
  diffId: string;
}

/** Milliseconds that tar may take. */
const tarMs = 10 * 60_000;

/** Packs `root` into a file of `directory`. The same tree always gives the same bytes. */
export async function packLayer(root: string, directory: string, signal: AbortSignal): Promise<PackedLayer> {
  const archive = join(directory, 'layer.tar');
  const path = join(directory, 'layer.tar.gz');
  await runCommand({
    file: 'tar',
    args: [
      '--sort=name',
      '--format=pax',
      '--pax-option=delete=atime,delete=ctime,exthdr.name=%d/PaxHeaders/%f',
      '--numeric-owner',
      '--xattrs',
      '--xattrs-include=*',
      '-C',
      root,
      '-cf',
      archive,
      '.',
    ],
    timeoutMs: tarMs,
    signal,
  });
  const plain = tap();
  const packed = tap();
  await pipeline(
    createReadStream(archive),
    plain.stream,
    createGzip(),
    packed.stream,
    createWriteStream(path),
    {
      signal,
    },
  );
  return { path, digest: packed.digest(), size: packed.size(), diffId: plain.digest() };
}

/** A stream that hashes and counts what passes. */
function tap(): { stream: Transform; digest(): string; size(): number } {
  const hash = createHash('sha256');
  let size = 0;
  const stream = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      hash.update(chunk);
      size += chunk.length;
      done(null, chunk);
    },
  });
  return { stream, digest: () => `sha256:${hash.digest('hex')}`, size: () => size };
}
