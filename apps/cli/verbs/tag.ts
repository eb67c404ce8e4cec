/** `skiff tag`: gives an image one more name. */
import type { Context } from '../context.ts';
import { connectNodeAdmin } from '../node/admin.ts';

/** Tags. */
export async function run(context: Context, source: string, target: string): Promise<void> {
  using admin = connectNodeAdmin(context, 'tag');
  await admin.images.tag({ source, target });
}
