/** Boots each VM. */
import { assemble, reattachPod, releasePod } from './assemble.ts';
import type { FactoryDeps } from './deps.ts';
import type { PodVm, PodVmRequest, VmFactory } from './types.ts';

/** Boots the VM that a pod wants; what the other factories do for what they have not ready. */
export async function bootPod(deps: FactoryDeps, request: PodVmRequest): Promise<PodVm> {
  const image = await deps.image();
  const { id, vcpus, memoryBytes, cgroup, signal } = request;
  return await assemble(deps, request, 'direct', (devices) =>
    deps.hypervisor.start(
      { id, vcpus, memoryBytes, image, ...devices, ...(cgroup === undefined ? {} : { cgroup }) },
      signal,
    ),
  );
}

/** Makes the factory that makes nothing ready. */
export function directFactory(deps: FactoryDeps): VmFactory {
  return {
    kind: 'direct',
    acquire: (request) => bootPod(deps, request),
    reattach: (directory, signal) => reattachPod(deps, directory, signal),
    release: (directory, netns) => releasePod(deps, directory, netns),
    refill: async () => {},
    drain: async () => {},
  };
}
