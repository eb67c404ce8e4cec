/** `skiff images`: the images of this node. */
import type { Image } from '#contracts/cri/runtime_pb.ts';
import type { Context } from '../context.ts';
import { connectNode } from '../node/cri.ts';
import { table } from '../output/table.ts';
import { bytes } from '../output/units.ts';

/** Prints images, by name. */
export async function run(context: Context, options: { json?: boolean }): Promise<void> {
  using cri = connectNode(context, 'images');
  const { images } = await cri.images.listImages({});
  if (options.json === true) {
    context.out.write(`${JSON.stringify(images.map(plain))}\n`);
    return;
  }
  const rows = images.flatMap(rowsOf).sort((a, b) => (a[0] ?? '').localeCompare(b[0] ?? ''));
  context.out.write(`${table(['IMAGE', 'TAG', 'ID', 'SIZE'], rows).join('\n')}\n`);
}

function plain(image: Image) {
  const { id, repoTags, repoDigests, pinned } = image;
  return { id, repoTags, repoDigests, size: Number(image.size), pinned };
}

function rowsOf(image: Image): string[][] {
  const id = image.id.replace('sha256:', '').slice(0, 13);
  const names = image.repoTags.map((tag) => [
    tag.slice(0, tag.lastIndexOf(':')),
    tag.slice(tag.lastIndexOf(':') + 1),
  ]);
  const digests = image.repoDigests.slice(0, 1).map((name) => [name.split('@')[0] ?? '', '<none>']);
  const rows = names.length > 0 ? names : digests.length > 0 ? digests : [['<none>', '<none>']];
  return rows.map(([name = '', tag = '']) => [name, tag, id, bytes(image.size)]);
}
