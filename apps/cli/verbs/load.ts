/** `skiff load`: loads the images of an archive or an OCI layout. */
import { resolve } from 'node:path';
import type { Context } from '../context.ts';
import { connectNodeAdmin } from '../node/admin.ts';

/** Loads; `-` reads the archive from standard input. */
export async function run(context: Context, options: { input: string; json?: boolean }): Promise<void> {
  using admin = connectNodeAdmin(context, 'load');
  // The server opens the path itself: this process's own standard input has one under /proc.
  const path = options.input === '-' ? `/proc/${process.pid}/fd/0` : resolve(options.input);
  const { names, imageIds } = await admin.images.load({ path }, { signal: context.interrupted });
  if (options.json === true) {
    context.out.write(`${JSON.stringify({ names, ids: imageIds })}\n`);
    return;
  }
  for (const each of names.length > 0 ? names : imageIds) context.out.write(`loaded ${each}\n`);
}
