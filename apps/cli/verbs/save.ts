/** `skiff save`: writes images to an archive or an OCI layout. */
import { resolve } from 'node:path';
import { ArchiveFormat } from '#contracts/admin/admin_pb.ts';
import { SkiffError } from '#foundation/base/errors.ts';
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
}

/** Saves; `-` writes the archive to standard output. */
export async function run(context: Context, images: string[], options: Options): Promise<void> {
  const format = formats[options.format];
  if (format === undefined)
    throw new SkiffError('INVALID_ARGUMENT', `--format is docker, oci or oci-dir, not "${options.format}"`);
  using admin = connectNodeAdmin(context, 'save');
  // The server opens the path itself: this process's own standard output has one under /proc.
  const path = options.output === '-' ? `/proc/${process.pid}/fd/1` : resolve(options.output);
  await admin.images.save({ images, path, format }, { signal: context.interrupted });
}
