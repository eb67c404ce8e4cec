/** `skiff image prune`: removes images and content that nothing needs. */
import { connectAdmin } from '#contracts/admin/client.ts';
import type { Context } from '../context.ts';
import { connectNode } from '../node/cri.ts';
import { bytes } from '../output/units.ts';

/** Prunes and says what was gained. */
export async function run(context: Context, options: { all?: boolean }): Promise<void> {
  connectNode(context, 'image prune').close(); // Says whether a node runs here at all.
  using admin = connectAdmin(context.paths.criSocket);
  const { deleted, reclaimedBytes } = await admin.images.prune({ all: options.all });
  for (const id of deleted) context.out.write(`deleted ${id}\n`);
  context.out.write(`freed ${bytes(reclaimedBytes)}\n`);
}
