/** UpdateContainerResources: new limits for a container that is created or running; fields left at 0 stay. */
import { create } from '@bufbuild/protobuf';
import {
  type ContainerConfig,
  LinuxContainerConfigSchema,
  type LinuxContainerResources,
  LinuxContainerResourcesSchema,
} from '#contracts/cri/runtime_pb.ts';
import { SkiffError, wrapError } from '#foundation/base/errors.ts';
import { readCgroup } from '#foundation/linux/cgroups.ts';
import type { Core } from './deps.ts';
import { canUpdate } from './lifecycle.ts';
import { resourcesOf } from './spec/resources.ts';
import type { Container } from './table.ts';

/** Changes limits; a failed change leaves the record as it was. */
export async function updateResources(
  core: Core,
  id: string,
  changes: LinuxContainerResources | undefined,
  annotations: Readonly<Record<string, string>>,
  signal: AbortSignal,
): Promise<void> {
  const container = core.table.get(id);
  try {
    const work = () => updateLocked(core, container, changes, annotations);
    // What plugins want of other containers needs those containers' locks: never hold two.
    const after = await core.locks.run(container.id, work, signal);
    await after();
  } catch (error) {
    throw wrapError(error, `Cannot update the resources of container "${id}"`);
  }
}

async function updateLocked(
  core: Core,
  container: Container,
  changes: LinuxContainerResources | undefined,
  annotations: Readonly<Record<string, string>>,
): Promise<() => Promise<void>> {
  const { life, cgroupPath, runtime } = container.record;
  if (!canUpdate(life))
    throw new SkiffError(
      'FAILED_PRECONDITION',
      `it is ${life.phase}; only a created or running container has limits`,
    );
  if (changes === undefined) return async () => {};
  const merged = mergeResources(container.config.linux?.resources, changes);
  const wanted = resourcesOf(merged, core.host);
  refuseBelowUsage(core, cgroupPath, changes.memoryLimitInBytes);
  const { resources, after } = await core.hooks.update(container, wanted);
  await core.runtimes.driver(runtime).update(container.id, resources);
  core.table.configure(container, withResources(container.config, merged, annotations));
  await core.hooks.updated(container, resources);
  return after;
}

/** The old limits with those of the new that are set. */
function mergeResources(
  old: LinuxContainerResources | undefined,
  changes: LinuxContainerResources,
): LinuxContainerResources {
  const base = old ?? create(LinuxContainerResourcesSchema);
  const keep = <T extends bigint | string>(next: T, before: T): T =>
    next === '' || next === 0n ? before : next;
  return create(LinuxContainerResourcesSchema, {
    cpuPeriod: keep(changes.cpuPeriod, base.cpuPeriod),
    cpuQuota: keep(changes.cpuQuota, base.cpuQuota),
    cpuShares: keep(changes.cpuShares, base.cpuShares),
    memoryLimitInBytes: keep(changes.memoryLimitInBytes, base.memoryLimitInBytes),
    // Swap that was derived from an old limit must follow the new one.
    memorySwapLimitInBytes:
      changes.memoryLimitInBytes === 0n
        ? keep(changes.memorySwapLimitInBytes, base.memorySwapLimitInBytes)
        : changes.memorySwapLimitInBytes,
    oomScoreAdj: keep(changes.oomScoreAdj, base.oomScoreAdj),
    cpusetCpus: keep(changes.cpusetCpus, base.cpusetCpus),
    cpusetMems: keep(changes.cpusetMems, base.cpusetMems),
    hugepageLimits: changes.hugepageLimits.length > 0 ? changes.hugepageLimits : base.hugepageLimits,
    unified: { ...base.unified, ...changes.unified },
  });
}

/** The kernel would kill the container to get below such a limit. */
function refuseBelowUsage(core: Core, cgroupPath: string, limit: bigint): void {
  if (limit <= 0n) return;
  const file = core.host.cgroups.mode === 'unified' ? 'memory.current' : 'memory.usage_in_bytes';
  const usage = BigInt(readCgroup(core.host.cgroups, 'memory', cgroupPath, file) ?? '0');
  if (usage <= limit) return;
  throw new SkiffError('FAILED_PRECONDITION', `the memory limit ${limit} is below the ${usage} bytes in use`);
}

function withResources(
  config: ContainerConfig,
  resources: LinuxContainerResources,
  annotations: Readonly<Record<string, string>>,
): ContainerConfig {
  return {
    ...config,
    annotations: { ...config.annotations, ...annotations },
    linux: { ...(config.linux ?? create(LinuxContainerConfigSchema)), resources },
  };
}
