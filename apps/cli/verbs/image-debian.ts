/** `skiff image debian`: builds an image from Debian packages. */
import type { Context } from '../context.ts';
import { connectNodeAdmin } from '../node/admin.ts';

interface Options {
  tag: string;
  suite?: string;
  mirror?: string;
  full?: boolean;
  entrypoint?: string;
  cmd?: string;
  env?: string[];
  user?: string;
  workdir?: string;
  json?: boolean;
}

/** Builds and prints the image's id; progress goes to standard error. */
export async function run(context: Context, packages: string[], options: Options): Promise<void> {
  using admin = connectNodeAdmin(context, 'image debian');
  const words = (text: string | undefined) => (text ?? '').split(/\s+/).filter((each) => each !== '');
  const request = {
    name: options.tag,
    packages,
    suite: options.suite,
    mirror: options.mirror,
    full: options.full,
    entrypoint: words(options.entrypoint),
    cmd: words(options.cmd),
    env: options.env,
    user: options.user,
    workingDir: options.workdir,
  };
  for await (const { line, imageId } of admin.images.buildDebian(request, { signal: context.interrupted })) {
    if (line !== '') context.err.write(`${line}\n`);
    if (imageId === '') continue;
    const told = options.json === true ? JSON.stringify({ image: options.tag, id: imageId }) : imageId;
    context.out.write(`${told}\n`);
  }
}
