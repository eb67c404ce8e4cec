/** `skiff pull`: pulls images, with a progress bar for each layer. */
import type { Context } from '../context.ts';
import { connectNodeAdmin } from '../node/admin.ts';
import { parseCredentials } from '../node/credentials.ts';
import { liveBlock } from '../output/live.ts';
import { pullLines } from '../output/pull-lines.ts';

/** Pulls each in turn and prints its id. */
export async function run(context: Context, names: string[], options: { creds?: string }): Promise<void> {
  using admin = connectNodeAdmin(context, 'pull');
  const credentials = options.creds === undefined ? undefined : parseCredentials(options.creds);
  for (const image of names) {
    const block = liveBlock({
      out: context.err,
      interactive: process.stderr.isTTY === true,
      width: context.width,
    });
    let id = '';
    for await (const event of admin.images.pull({ image, credentials }, { signal: context.interrupted })) {
      block.show(pullLines(event));
      id = event.imageId;
    }
    block.end();
    context.out.write(`${id}\n`);
  }
}
