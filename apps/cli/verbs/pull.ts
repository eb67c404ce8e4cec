/** `skiff pull`: pulls images, with a progress bar for each layer. */
import { connectAdmin } from '#contracts/admin/client.ts';
import { SkiffError } from '#foundation/base/errors.ts';
import type { Context } from '../context.ts';
import { connectNode } from '../node/cri.ts';
import { liveBlock } from '../output/live.ts';
import { pullLines } from '../output/pull-lines.ts';

/** Pulls each in turn and prints its id. */
export async function run(context: Context, names: string[], options: { creds?: string }): Promise<void> {
  connectNode(context, 'pull').close(); // Says whether a node runs here at all.
  using admin = connectAdmin(context.paths.criSocket);
  const credentials = options.creds === undefined ? undefined : parseCredentials(options.creds);
  for (const image of names) {
    const block = liveBlock({
      out: context.err,
      interactive: process.stderr.isTTY === true,
      width: context.width,
    });
    let id = '';
    for await (const progress of admin.images.pull({ image, credentials }, { signal: context.interrupted })) {
      block.show(pullLines(progress));
      id = progress.imageId;
    }
    block.end();
    context.out.write(`${id}\n`);
  }
}

function parseCredentials(text: string): { username: string; password: string } {
  const colon = text.indexOf(':');
  if (colon <= 0) throw new SkiffError('INVALID_ARGUMENT', '--creds wants USER:PASSWORD');
  return { username: text.slice(0, colon), password: text.slice(colon + 1) };
}
