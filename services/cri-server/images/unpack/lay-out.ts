/** Lays out an archive of images (a plain or compressed tar, a FIFO too) in a directory. */
import { closeSync, mkdirSync, openSync, readSync } from 'node:fs';
import { openRoot } from '#foundation/linux/at.ts';
import { decompress } from './decompress.ts';
import { type Extracted, extract } from './extract.ts';
import type { Scratch } from './scratch.ts';
import { tarReader } from './tar-reader.ts';
import { tarStream, type UnpackLimits } from './tar-stream.ts';
import { boundBytes } from './unpack-layer.ts';

/** What to lay out where. */
export interface LayOutJob {
  archive: string;
  /** The directory to make. */
  target: string;
  limits: UnpackLimits;
}

/** @throws SkiffError DATA_LOSS, INVALID_ARGUMENT and RESOURCE_EXHAUSTED as `extract` does. */
export function layOut(job: LayOutJob, scratch: Scratch): Pick<Extracted, 'hasRoot'> {
  mkdirSync(job.target, { mode: 0o700 });
  const fd = openSync(job.archive, 'r');
  const buffer = scratch.input();
  const next = () => {
    const count = readSync(fd, buffer, 0, buffer.length, null);
    return count === 0 ? undefined : buffer.subarray(0, count);
  };
  try {
    using root = openRoot(job.target);
    using source = decompress({ next }, scratch);
    // Blobs in an archive are compressed already: no ratio is to be feared, only size.
    const stream = tarStream(source, 'sha256', boundBytes(job.limits.maxBytes, job.target, job.limits));
    const { hasRoot } = extract(tarReader(stream), root.fd, job.limits.maxEntries);
    return { hasRoot };
  } finally {
    closeSync(fd);
  }
}
