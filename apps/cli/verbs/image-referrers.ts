/** `skiff image referrers`: what a registry has that refers to an image. */
import type { Context } from '../context.ts';
import { connectNodeAdmin } from '../node/admin.ts';
import { parseCredentials } from '../node/credentials.ts';
import { table } from '../output/table.ts';
import { bytes } from '../output/units.ts';

interface Options {
  creds?: string;
  type?: string;
  json?: boolean;
}

/** Prints signatures, lists of contents and whatever else was attached to the image. */
export async function run(context: Context, image: string, options: Options): Promise<void> {
  using admin = connectNodeAdmin(context, 'image referrers');
  const credentials = options.creds === undefined ? undefined : parseCredentials(options.creds);
  const request = { image, credentials, artifactType: options.type };
  const { referrers } = await admin.images.referrers(request, { signal: context.interrupted });
  if (options.json === true) {
    const plain = referrers.map(({ digest, mediaType, artifactType, size, annotations, subject }) => ({
      digest,
      mediaType,
      artifactType,
      size: Number(size),
      annotations,
      subject,
    }));
    context.out.write(`${JSON.stringify(plain)}\n`);
    return;
  }
  const rows = referrers.map((each) => [each.digest, each.artifactType || each.mediaType, bytes(each.size)]);
  context.out.write(`${table(['DIGEST', 'TYPE', 'SIZE'], rows).join('\n')}\n`);
}
