/** `skiff pull`: pulls images, with a progress bar for each layer. */
import { SkiffError } from '#foundation/base/errors.ts';
import type { Context } from '../context.ts';
import { connectNodeAdmin } from '../node/admin.ts';
import { parseCredentials } from '../node/credentials.ts';
import { pullLines, pullSteps } from '../output/pull-lines.ts';
import { transferScreen } from '../output/transfer-screen.ts';

interface Options {
  creds?: string;
  json?: boolean;
}

/** Pulls each in turn and prints its id; with `--json` a line of JSON for each. */
export async function run(context: Context, names: string[], options: Options): Promise<void> {
  using admin = connectNodeAdmin(context, 'pull');
  const credentials = options.creds === undefined ? undefined : parseCredentials(options.creds);
  for (const image of names) {
    const screen = transferScreen(context);
    let [id, name] = ['', image];
    try {
      for await (const event of admin.images.pull({ image, credentials }, { signal: context.interrupted })) {
        screen.show(
          (rows) => pullLines(event, rows),
          () => pullSteps(event),
        );
        [id, name] = [event.imageId, event.image];
      }
    } catch (error) {
      throw context.interrupted.aborted ? interrupted(image, error) : error;
    } finally {
      screen.end();
    }
    context.out.write(`${options.json === true ? JSON.stringify({ image: name, id }) : id}\n`);
  }
}

function interrupted(image: string, cause: unknown): SkiffError {
  return new SkiffError(
    'CANCELLED',
    `the pull of "${image}" was interrupted; what has arrived is kept for some minutes, and another pull goes on from there`,
    { cause },
  );
}
