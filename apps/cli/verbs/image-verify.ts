/** `skiff image verify`: checks images to the last bit and mends what is damaged. */
import { SkiffError } from '#foundation/base/errors.ts';
import type { Context } from '../context.ts';
import { connectNodeAdmin } from '../node/admin.ts';

interface Options {
  check?: boolean;
  json?: boolean;
}

/** Prints what is damaged and what became of it; fails if something could not be mended. */
export async function run(context: Context, images: string[], options: Options): Promise<void> {
  using admin = connectNodeAdmin(context, 'image verify');
  const request = { images, checkOnly: options.check };
  let broken = 0;
  let last = 0n;
  for await (const event of admin.images.verify(request, { signal: context.interrupted })) {
    last = event.checked;
    if (!event.damaged) continue;
    if (!event.mended) broken += 1;
    const outcome = event.mended ? 'mended' : `damaged${event.problem === '' ? '' : `: ${event.problem}`}`;
    const { digest, mended, problem } = event;
    const json = options.json === true;
    context.out.write(json ? `${JSON.stringify({ digest, mended, problem })}\n` : `${digest} ${outcome}\n`);
  }
  if (options.json !== true) context.out.write(`${last} parts checked\n`);
  if (broken > 0)
    throw new SkiffError(
      'DATA_LOSS',
      `${broken} damaged parts were not mended: pull or load their images again`,
    );
}
