/** `skiff push`: pushes an image to its registry. */
import type { Context } from '../context.ts';
import { connectNodeAdmin } from '../node/admin.ts';
import { parseCredentials } from '../node/credentials.ts';
import { layerLines, layerSteps } from '../output/pull-lines.ts';
import { transferScreen } from '../output/transfer-screen.ts';

interface Options {
  creds?: string;
  json?: boolean;
}

/** Pushes with a bar for each layer, and prints the digest that the image has there. */
export async function run(context: Context, image: string, options: Options): Promise<void> {
  using admin = connectNodeAdmin(context, 'push');
  const credentials = options.creds === undefined ? undefined : parseCredentials(options.creds);
  const screen = transferScreen(context);
  let digest = '';
  for await (const progress of admin.images.push({ image, credentials }, { signal: context.interrupted })) {
    const { layers } = progress;
    if (layers.length > 0)
      screen.show(
        (rows) => layerLines(layers, rows),
        () => layerSteps(layers),
      );
    digest = progress.digest;
  }
  screen.end();
  context.out.write(`${options.json === true ? JSON.stringify({ image, digest }) : digest}\n`);
}
