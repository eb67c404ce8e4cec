/** ResizePod: memory by balloon within what the VM was started with; all else is refused clearly. */
import { SkiffError } from '#foundation/base/errors.ts';
import type { Core } from './core.ts';

/** Changes the VM's size. 0 leaves a value as it is. */
export async function resizePod(
  core: Core,
  { vcpus, memoryBytes }: { vcpus: number; memoryBytes: bigint },
): Promise<void> {
  const { vm } = await core.machine();
  if (vcpus !== 0 && vcpus !== vm.vcpus)
    throw new SkiffError(
      'UNIMPLEMENTED',
      `the VM has ${vm.vcpus} processors and cannot get ${vcpus} while it runs; start the pod anew`,
    );
  if (memoryBytes !== 0n) await vm.setMemory(Number(memoryBytes));
}
