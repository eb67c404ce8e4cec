/** `check`: whether all that VMs are made of is installed. Says nothing if so; does not boot one. */
import { globSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { SkiffError } from '#foundation/base/errors.ts';
import { defaultPackageDirectory } from '../../guest-image/build.ts';
import { shimProgram } from '../../shim/build.ts';
import type { Context } from '../context.ts';

const programs = ['/usr/bin/qemu-system-x86_64', '/usr/lib/qemu/virtiofsd', '/usr/bin/crun'];

export async function run(context: Context): Promise<undefined> {
  const missing = programs.find((path) => statSync(path, { throwIfNoEntry: false }) === undefined);
  if (missing !== undefined)
    throw new SkiffError('FAILED_PRECONDITION', `${missing} is not installed: run "skiff setup vm"`);
  const kernels = globSync(join(defaultPackageDirectory, 'linux-image-*-cloud-amd64_*.deb'));
  if (kernels.length === 0)
    throw new SkiffError(
      'FAILED_PRECONDITION',
      `there is no kernel for VMs in ${defaultPackageDirectory}: run "skiff setup vm"`,
    );
  await shimProgram(context.cache);
}
