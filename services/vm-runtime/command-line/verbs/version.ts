/** `--version`: a line that callers parse as runc's, and the OCI version. */
import { ociVersion } from '#contracts/oci/runtime.ts';
import type { Context } from '../context.ts';

/** Of the runtime. */
export const version = '0.1.0';

export async function run(context: Context): Promise<undefined> {
  context.print(`skiff-vm version ${version}\nspec: ${ociVersion}\n`);
}
