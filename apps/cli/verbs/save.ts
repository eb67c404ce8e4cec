/** `skiff save`: writes images to an archive or an OCI layout. */
import { once } from 'node:events';
import { closeSync, constants, createReadStream, fstatSync, mkdtempSync, openSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { ArchiveFormat } from '#contracts/admin/admin_pb.ts';
import { SkiffError } from '#foundation/base/errors.ts';
import { FileType, makeNodeAt, openRoot } from '#foundation/linux/at.ts';
import type { Context } from '../context.ts';
import { connectNodeAdmin } from '../node/admin.ts';

const formats: Record<string, ArchiveFormat> = {
  docker: ArchiveFormat.DOCKER_ARCHIVE,
  oci: ArchiveFormat.OCI_ARCHIVE,
  'oci-dir': ArchiveFormat.OCI_DIRECTORY,
};

interface Options {
  output: string;
  format: string;
  json?: boolean;
}

/** Saves; `-` writes the archive to standard output, where no JSON can stand then. */
export async function run(context: Context, images: string[], options: Options): Promise<void> {
  const format = formats[options.format];
  if (format === undefined)
    throw new SkiffError('INVALID_ARGUMENT', `--format is docker, oci or oci-dir, not "${options.format}"`);
  if (options.json === true && options.output === '-')
    throw new SkiffError('INVALID_ARGUMENT', '--json and the archive cannot both go to standard output');
  using admin = connectNodeAdmin(context, 'save');
  const save = (path: string) => admin.images.save({ images, path, format }, { signal: context.interrupted });
  if (options.output !== '-') {
    const path = resolve(options.output);
    const { bytes } = await save(path);
    const told = { images, path, format: options.format, bytes: Number(bytes) };
    if (options.json === true) context.out.write(`${JSON.stringify(told)}\n`);
  } else if (fstatSync(1).isFile()) await throughFifo(save);
  // The server opens the path itself: this process's own standard output has one under /proc.
  else await save(`/proc/${process.pid}/fd/1`);
}

/** Opened anew, a file would be written from its start, whatever stands there or is written after. */
async function throughFifo(save: (path: string) => Promise<unknown>): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'skiff-save-'));
  const path = join(folder, 'fifo');
  try {
    using place = openRoot(folder);
    makeNodeAt(place.fd, 'fifo', FileType.fifo | 0o600);
    const archive = createReadStream(path);
    const copying = pipeline(archive, process.stdout, { end: false });
    copying.catch(() => {}); // Told below.
    try {
      await save(path);
    } catch (error) {
      // It may never have been opened for writing; the reader waits for that, and then finds its end.
      const writer = openSync(path, constants.O_RDWR | constants.O_NONBLOCK);
      if (archive.pending) await once(archive, 'open');
      closeSync(writer);
      throw error;
    }
    await copying;
  } finally {
    rmSync(folder, { recursive: true });
  }
}
