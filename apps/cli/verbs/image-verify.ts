/** `skiff image verify`: checks images to the last bit and mends what is damaged. */
import { SkiffError } from '#foundation/base/errors.ts';
import type { Context } from '../context.ts';
import { connectNodeAdmin } from '../node/admin.ts';

interface Options {
  check?: boolean;
  json?: boolean;
}

/** Prints what is damaged and what became of it, and how much was checked; fails if something could not be mended. */
export async function run(context: Context, images: string[], options: Options): Promise<void> {
  using admin = connectNodeAdmin(context, 'image verify');
  const request = { images, checkOnly: options.check };
  const damaged: { digest: string; mended: boolean; problem: string }[] = [];
  let checked = 0;
  for await (const event of admin.images.verify(request, { signal: context.interrupted })) {
    checked += 1;
    if (!event.damaged) continue;
    const { digest, mended, problem } = event;
    damaged.push({ digest, mended, problem });
    const outcome = mended ? 'mended' : `damaged${problem === '' ? '' : `: ${problem}`}`;
    if (options.json !== true) context.out.write(`${digest} ${outcome}\n`);
  }
  const told = options.json === true ? JSON.stringify({ checked, damaged }) : `${checked} parts checked`;
  context.out.write(`${told}\n`);
  const broken = damaged.filter(({ mended }) => !mended).length;
  if (broken > 0)
    throw new SkiffError(
      'DATA_LOSS',
      `${broken} damaged parts were not mended: pull or load their images again`,
    );
}
