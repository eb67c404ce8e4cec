/** File-system images to add as disks: read-only erofs, built of a directory. */

import { randomBytes } from 'node:crypto';
import { renameSync, rmSync } from 'node:fs';
import { SkiffError, wrapError } from '#foundation/base/errors.ts';
import type { Spawner } from '#foundation/linux/spawn.ts';
import { runSpawned } from '#foundation/linux/spawn-command.ts';
import type { ImageRequest } from './types.ts';

/** Milliseconds that building may take. */
const buildMs = 10 * 60_000;

/**
 * Builds an image. The target appears whole or not at all.
 *
 * @throws SkiffError FAILED_PRECONDITION if the tool is not installed, INTERNAL with its words if it fails.
 */
export async function buildImage(
  { spawner }: { spawner: Spawner },
  { source, target }: ImageRequest,
  signal?: AbortSignal,
): Promise<void> {
  const temporary = `${target}.${randomBytes(4).toString('hex')}.tmp`;
  // No compression: building takes a tenth of the time, and reading is as quick.
  const [file, args] = ['mkfs.erofs', ['--quiet', temporary, source]] as const;
  try {
    const env = { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C' };
    const command = { file, args, env, timeoutMs: buildMs, ...(signal === undefined ? {} : { signal }) };
    const { exitCode, stderr } = await runSpawned(spawner, command);
    if (exitCode !== 0)
      throw new SkiffError('INTERNAL', `${file} exited with ${exitCode}: ${stderr.trim().slice(-1000)}`);
    renameSync(temporary, target);
  } catch (error) {
    rmSync(temporary, { force: true });
    throw wrapError(error, `Cannot build the image "${target}" of "${source}"`);
  }
}
