/**
 * ResizePod: memory goes down, and up again to what the VM was started with, by its balloon. It does not grow beyond
 * that, nor get processors: QEMU's microvm plugs neither, and memory kept in reserve would have to be paid for at each
 * boot (16 bytes of each KiB, and its initialization).
 */
import { isSkiffError, SkiffError } from '#foundation/base/errors.ts';
import type { Core } from './core.ts';

/** Changes the VM's size. 0 leaves a value as it is. @throws SkiffError OUT_OF_RANGE for more than it has. */
export async function resizePod(
  core: Core,
  { vcpus, memoryBytes }: { vcpus: number; memoryBytes: bigint },
): Promise<void> {
  const { vm } = await core.machine();
  const memory = Number(memoryBytes);
  refuseMore('processors', vcpus, vm.vcpus);
  refuseMore('MiB of memory', mib(memory), mib(vm.memoryBytes));
  if (memory === 0) return;
  await vm.setMemory(memory).catch((error: unknown) => {
    // A clone keeps its size, and its containers their limits.
    if (!isSkiffError(error, 'UNIMPLEMENTED')) throw error;
  });
}

/** Refuses limits of a container that its VM cannot give it: it would be ended long before it met them. */
export function refuseBeyondMachine(
  { vcpus, memoryBytes }: { vcpus: number; memoryBytes: number },
  wanted: { memory?: number; cpus?: number },
): void {
  refuseMore('MiB of memory', mib(wanted.memory ?? 0), mib(memoryBytes));
  refuseMore('processors', Math.ceil(wanted.cpus ?? 0), vcpus);
}

function refuseMore(what: string, wanted: number, has: number): void {
  if (wanted <= has) return;
  throw new SkiffError(
    'OUT_OF_RANGE',
    `the pod's VM has ${has} ${what} and cannot have ${wanted} while it runs: a VM gets its size when its pod is made, so make the pod anew with the new limits`,
  );
}

const mib = (bytes: number) => Math.ceil(bytes / 1024 / 1024);
