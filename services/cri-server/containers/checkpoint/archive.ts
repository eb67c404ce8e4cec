/**
 * The archive of a checkpointed container, as podman, CRI-O and containerd write it and `checkpointctl` reads it: a
 * tar with CRIU's images below `checkpoint/`, the OCI config in `spec.dump`, what it was in `config.dump`, and what it
 * had changed in its root.
 */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { messageOf, SkiffError } from '#foundation/base/errors.ts';

/** Names in the archive. */
export const names = {
  images: 'checkpoint',
  spec: 'spec.dump',
  config: 'config.dump',
  changes: 'rootfs-diff.tar',
  deleted: 'deleted.files',
  log: 'dump.log',
  statistics: 'stats-dump',
} as const;

/** `config.dump`. */
export interface Description {
  id: string;
  name: string;
  /** The image as it is called. */
  rootfsImageName: string;
  /** The image by digest or id. */
  rootfsImageRef: string;
  /** The image's id. */
  rootfsImage: string;
  /** The OCI runtime. */
  runtime: string;
  /** RFC 3339. */
  createdTime: string;
  checkpointedTime: string;
}

/**
 * Reads `config.dump` of a laid out archive.
 *
 * @throws SkiffError INVALID_ARGUMENT if it is no checkpoint of a container.
 */
export function readDescription(directory: string): Partial<Description> {
  if (!existsSync(join(directory, names.images)))
    throw new SkiffError(
      'INVALID_ARGUMENT',
      `it is no checkpoint: there is no folder "${names.images}" in it`,
    );
  try {
    const parsed: unknown = JSON.parse(readFileSync(join(directory, names.config), 'utf8'));
    if (typeof parsed === 'object' && parsed !== null) return parsed as Partial<Description>;
    throw new SkiffError('INVALID_ARGUMENT', 'it is no JSON object');
  } catch (error) {
    throw new SkiffError(
      'INVALID_ARGUMENT',
      `it is no checkpoint: cannot read "${names.config}": ${messageOf(error)}`,
    );
  }
}

/** What may name its image, the surest first. */
export function imageNames({ rootfsImageRef, rootfsImage, rootfsImageName }: Partial<Description>): string[] {
  return [rootfsImage, rootfsImageRef, rootfsImageName].filter(
    (each): each is string => typeof each === 'string' && each !== '',
  );
}
