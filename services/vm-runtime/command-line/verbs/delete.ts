/** `delete`: forgets a stopped container; with `--force` any, and one that is not there is success. */
import { rmSync, statSync } from 'node:fs';
import { resolve } from 'node:path';
import { isSkiffError } from '#foundation/base/errors.ts';
import { containerDirectory } from '../../supervisor/paths.ts';
import { flags, oneWord, parseArguments } from '../arguments.ts';
import { type Context, recordOf, withSupervisor } from '../context.ts';
import { statusOf } from '../status.ts';

export async function run(context: Context, args: readonly string[]): Promise<undefined> {
  const { options, words } = parseArguments(args, flags('force,f'), true);
  const id = oneWord(words, 'container-id');
  const directory = containerDirectory(resolve(context.root), id);
  const forced = options.flag('force');
  try {
    const record = recordOf(context, id);
    // What the host sees as ended, its shim being gone, may be deleted, whatever the guest still does.
    const force = forced || statusOf(record) === 'stopped';
    const podIsThere = statSync(record.pod, { throwIfNoEntry: false }) !== undefined;
    if (podIsThere)
      await withSupervisor(context, id, (client) =>
        client.deleteContainer({ id, force }, { timeoutMs: 90_000 }),
      );
    rmSync(directory, { recursive: true, force: true });
  } catch (error) {
    if (!isSkiffError(error, 'NOT_FOUND')) throw error;
    // Of a create that was killed, or of a pod that is gone.
    rmSync(directory, { recursive: true, force: true });
    if (!forced) throw error;
  }
}
