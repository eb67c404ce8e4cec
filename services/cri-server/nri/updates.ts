/** Changes that plugins ask for of containers that exist: new limits, and evictions. */
import { create } from '@bufbuild/protobuf';
import { type ContainerEviction, type ContainerUpdate, LinuxResourcesSchema } from '#contracts/nri/nri_pb.ts';
import type { SpecResources } from '#contracts/oci/runtime.ts';
import { messageOf } from '#foundation/base/errors.ts';
import { type ClaimTable, claimTable } from './adjust/claims.ts';
import { adjustResources } from './adjust/resources.ts';
import type { NriDeps } from './ports.ts';

/** What all plugins together want of other containers. */
export interface UpdateCollector {
  /** @throws SkiffError FAILED_PRECONDITION if two plugins set the same, unless the update may fail. */
  add(plugin: string, updates: readonly ContainerUpdate[], evictions?: readonly ContainerEviction[]): void;
  /** Limits for one container, which are no longer carried out by `apply`. */
  take(id: string): SpecResources | undefined;
  /** Carries them out; never throws. */
  apply(): Promise<void>;
}

const noLimits = create(LinuxResourcesSchema);

type Deps = Pick<NriDeps, 'containers' | 'log' | 'swapLimits'>;

/** @param base limits that the request itself sets, by container. */
export function updateCollector(
  deps: Deps,
  base: ReadonlyMap<string, SpecResources> = new Map(),
): UpdateCollector {
  const resources = new Map(base);
  const claims = new Map<string, ClaimTable>();
  const evictions: ContainerEviction[] = [];
  const addOne = (plugin: string, { containerId, linux, ignoreFailure }: ContainerUpdate) => {
    if (linux?.resources === undefined) return;
    const table = claims.get(containerId) ?? claimTable(containerId);
    claims.set(containerId, table);
    try {
      const before = resources.get(containerId) ?? {};
      resources.set(containerId, adjustResources(before, linux.resources, table.by(plugin), deps.swapLimits));
    } catch (error) {
      if (!ignoreFailure) throw error;
    }
  };
  return {
    add: (plugin, updates, evict = []) => {
      for (const update of updates) addOne(plugin, update);
      evictions.push(...evict);
    },
    take: (id) => {
      const found = resources.get(id);
      resources.delete(id);
      return found;
    },
    apply: async () => {
      for (const [id, wanted] of resources)
        await deps.containers.update(id, wanted).catch((error: unknown) => {
          deps.log.warn({ container: id, why: messageOf(error) }, 'an update by NRI plugins failed');
        });
      evict(deps, evictions);
    },
  };
}

/** Evictions take as long as the containers' grace; nobody waits for them. */
export function evict(deps: Pick<Deps, 'containers' | 'log'>, evictions: readonly ContainerEviction[]): void {
  for (const { containerId, reason } of evictions) {
    deps.log.info({ container: containerId, reason }, 'an NRI plugin evicts a container');
    deps.containers.evict(containerId, reason).catch((error: unknown) => {
      deps.log.warn({ container: containerId, why: messageOf(error) }, 'an eviction by an NRI plugin failed');
    });
  }
}

/** Carries out updates that a plugin asks for by itself. @returns those that failed and may not. */
export async function applyUnsolicited(
  deps: Deps,
  updates: readonly ContainerUpdate[],
  evictions: readonly ContainerEviction[],
): Promise<ContainerUpdate[]> {
  const failed: ContainerUpdate[] = [];
  for (const update of updates) {
    const { containerId, linux, ignoreFailure } = update;
    try {
      const claims = claimTable(containerId).by('plugin');
      await deps.containers.update(
        containerId,
        adjustResources({}, linux?.resources ?? noLimits, claims, deps.swapLimits),
      );
    } catch (error) {
      deps.log.warn({ container: containerId, why: messageOf(error) }, 'an update by an NRI plugin failed');
      if (!ignoreFailure) failed.push(update);
    }
  }
  evict(deps, evictions);
  return failed;
}
