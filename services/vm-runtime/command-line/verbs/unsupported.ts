/** `checkpoint` and `restore`: CRIU saves processes of this kernel, not of a VM's. */
import { SkiffError } from '#foundation/base/errors.ts';

export async function run(): Promise<never> {
  throw new SkiffError(
    'UNIMPLEMENTED',
    'containers in a VM cannot be checkpointed: their processes are not of this kernel',
  );
}
