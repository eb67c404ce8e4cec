/** `skiff rmi`: removes images. */
import { SkiffError } from '#foundation/base/errors.ts';
import type { Context } from '../context.ts';
import { connectNode } from '../node/cri.ts';

/** Removes each image; the CRI calls the removal of an absent one a success, a person does not. */
export async function run(context: Context, names: string[]): Promise<void> {
  using cri = connectNode(context, 'rmi');
  for (const name of names) {
    const { image } = await cri.images.imageStatus({ image: { image: name } });
    if (image === undefined)
      throw new SkiffError('NOT_FOUND', `there is no image "${name}"; \`skiff images\` lists them`);
    await cri.images.removeImage({ image: { image: name } });
    context.out.write(`${name}\n`);
  }
}
