/** CRIU (https://criu.org), which the OCI runtimes call to freeze processes into files and to thaw them. */
import type { RuntimeDriver } from '#contracts/oci/runtime-driver.ts';
import { isSkiffError, SkiffError } from '#foundation/base/errors.ts';
import { tryCommand } from '#foundation/linux/command.ts';

/**
 * @throws SkiffError FAILED_PRECONDITION that says what to do, if the runtime or this machine cannot checkpoint.
 */
export async function requireCriu({
  name,
  features,
}: Pick<RuntimeDriver, 'name' | 'features'>): Promise<void> {
  if (!features.checkpoint)
    throw new SkiffError(
      'FAILED_PRECONDITION',
      `${name} was built without CRIU; run the pod with another runtime handler (runc)`,
    );
  try {
    const { exitCode, stdout, stderr } = await tryCommand({ file: 'criu', args: ['check'] });
    if (exitCode === 0) return;
    const said = (stderr + stdout.toString()).trim().split('\n').at(-1) ?? '';
    throw new SkiffError(
      'FAILED_PRECONDITION',
      `criu does not work on this kernel ("criu check": ${said}); a newer criu may`,
    );
  } catch (error) {
    if (!isSkiffError(error, 'NOT_FOUND')) throw error;
    throw new SkiffError('FAILED_PRECONDITION', 'there is no criu on PATH; apt-get install criu');
  }
}
