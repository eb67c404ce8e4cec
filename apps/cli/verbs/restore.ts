/** `skiff restore FILE`: puts a copy by `skiff backup` in place of the embedded API's objects. */
import { join } from 'node:path';
import { SkiffError } from '#foundation/base/errors.ts';
import { restoreObjects } from '#services/kube-api/storage/backup.ts';
import { type Context, requireRoot } from '../context.ts';
import { readNodeInfo } from '../node/info.ts';

/** Restores and says what is there now. */
export async function run(context: Context, file: string): Promise<void> {
  requireRoot('restore', "to replace the API's objects");
  const info = readNodeInfo(context.paths);
  if (info !== undefined)
    throw new SkiffError(
      'FAILED_PRECONDITION',
      `the node runs (process ${info.process.pid}); end it first: its pods live on, and the next one takes them over`,
    );
  const directory = join(context.paths.lib, 'kube-api');
  const { objects } = await restoreObjects(directory, file);
  context.out.write(`${objects} objects restored; those of before are in ${directory}/objects.db.replaced\n`);
}
