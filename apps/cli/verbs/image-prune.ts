/** `skiff image prune`: removes images and content that nothing needs. */
import type { Context } from '../context.ts';
import { connectNodeAdmin } from '../node/admin.ts';
import { bytes } from '../output/units.ts';

interface Options {
  all?: boolean;
  json?: boolean;
}

/** Prunes and says what was gained. */
export async function run(context: Context, options: Options): Promise<void> {
  using admin = connectNodeAdmin(context, 'image prune');
  const { deleted, reclaimedBytes } = await admin.images.prune({ all: options.all });
  if (options.json === true) {
    context.out.write(`${JSON.stringify({ deleted, freedBytes: Number(reclaimedBytes) })}\n`);
    return;
  }
  for (const id of deleted) context.out.write(`deleted ${id}\n`);
  context.out.write(`freed ${bytes(reclaimedBytes)}\n`);
}
