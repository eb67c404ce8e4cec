/** `skiff tag`: gives an image one more name. */
import { connectAdmin } from '#contracts/admin/client.ts';
import type { Context } from '../context.ts';
import { connectNode } from '../node/cri.ts';

/** Tags. */
export async function run(context: Context, source: string, target: string): Promise<void> {
  connectNode(context, 'tag').close(); // Says whether a node runs here at all.
  using admin = connectAdmin(context.paths.criSocket);
  await admin.images.tag({ source, target });
}
