/** `skiff tag`: gives an image one more name. */
import type { Context } from '../context.ts';
import { connectNodeAdmin } from '../node/admin.ts';

/** Tags; says nothing but with `--json`. */
export async function run(
  context: Context,
  source: string,
  target: string,
  options: { json?: boolean },
): Promise<void> {
  using admin = connectNodeAdmin(context, 'tag');
  const { imageId } = await admin.images.tag({ source, target });
  if (options.json === true) context.out.write(`${JSON.stringify({ image: target, id: imageId })}\n`);
}
