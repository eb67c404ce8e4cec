/** `skiff backup FILE`: copies the objects of the embedded API, while the node runs or not. */
import { join } from 'node:path';
import { backupObjects } from '#services/kube-api/storage/backup.ts';
import { type Context, requireRoot } from '../context.ts';

/** Makes the copy and says what is in it. */
export async function run(context: Context, file: string): Promise<void> {
  requireRoot('backup', "to read the API's objects");
  const { objects, revision } = await backupObjects(join(context.paths.lib, 'kube-api'), file);
  context.out.write(`${file}: ${objects} objects, up to resource version ${revision}\n`);
}
