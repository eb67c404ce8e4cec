/** `skiff push`: pushes an image to its registry. */
import type { Context } from '../context.ts';
import { connectNodeAdmin } from '../node/admin.ts';
import { parseCredentials } from '../node/credentials.ts';
import { liveBlock } from '../output/live.ts';
import { layerLine } from '../output/pull-lines.ts';

/** Pushes with a bar for each layer, and prints the digest that the image has there. */
export async function run(context: Context, image: string, options: { creds?: string }): Promise<void> {
  using admin = connectNodeAdmin(context, 'push');
  const credentials = options.creds === undefined ? undefined : parseCredentials(options.creds);
  const block = liveBlock({
    out: context.err,
    interactive: process.stderr.isTTY === true,
    width: context.width,
  });
  let digest = '';
  for await (const progress of admin.images.push({ image, credentials }, { signal: context.interrupted })) {
    if (progress.layers.length > 0) block.show(progress.layers.map(layerLine));
    digest = progress.digest;
  }
  block.end();
  context.out.write(`${digest}\n`);
}
