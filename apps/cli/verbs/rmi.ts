/** `skiff rmi`: takes names off images, and removes images with their last name. */
import { SkiffError } from '#foundation/base/errors.ts';
import type { Context } from '../context.ts';
import { connectNodeAdmin } from '../node/admin.ts';

interface Options {
  force?: boolean;
  json?: boolean;
}

/** Removes each; the CRI calls the removal of an absent image a success, a person does not. */
export async function run(context: Context, names: string[], options: Options): Promise<void> {
  using admin = connectNodeAdmin(context, 'rmi');
  for (const name of names) {
    const { untagged, deleted } = await admin.images.untag({ name, force: options.force === true });
    if (untagged.length === 0 && deleted === '')
      throw new SkiffError('NOT_FOUND', `there is no image "${name}"; \`skiff images\` lists them`);
    if (options.json === true) {
      context.out.write(`${JSON.stringify({ untagged, ...(deleted !== '' && { deleted }) })}\n`);
      continue;
    }
    for (const each of untagged) context.out.write(`untagged ${each}\n`);
    if (deleted !== '') context.out.write(`deleted ${deleted}\n`);
  }
}
