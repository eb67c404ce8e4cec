/** `skiff image prune`: removes images and content that nothing needs. */
import type { Context } from '../context.ts';
import { connectNodeAdmin } from '../node/admin.ts';
import { bytes } from '../output/units.ts';

/** Prunes and says what was gained. */
export async function run(context: Context, options: { all?: boolean }): Promise<void> {
  using admin = connectNodeAdmin(context, 'image prune');
  const { deleted, reclaimedBytes } = await admin.images.prune({ all: options.all });
  for (const id of deleted) context.out.write(`deleted ${id}\n`);
  context.out.write(`freed ${bytes(reclaimedBytes)}\n`);
}
