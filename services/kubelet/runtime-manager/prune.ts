/** Removes containers that stand in the way of a start. */
import type { Pod } from '#contracts/kubernetes/types.ts';
import { isSkiffError } from '#foundation/base/errors.ts';
import { findContainer, initContainers } from '../pods/containers.ts';
import type { AnyContainer } from '../ports.ts';
import type { RuntimeManagerDeps } from './deps.ts';
import { killContainer } from './kill-container.ts';
import type { ContainerRecord, RuntimePodStatus } from './model.ts';

/** Removes all but the newest record of the init containers that are about to be started again. */
export async function pruneInit(
  deps: RuntimeManagerDeps,
  status: RuntimePodStatus,
  starting: readonly AnyContainer[],
): Promise<void> {
  const names = new Set(starting.map((container) => container.name));
  const seen = new Set<string>();
  for (const record of status.containers) {
    if (!names.has(record.name)) continue;
    if (seen.has(record.name) && record.state === 'exited') await remove(deps, record);
    seen.add(record.name);
  }
}

/** Removes all records of init containers: a new sandbox begins with the first of them. */
export async function purgeInit(deps: RuntimeManagerDeps, pod: Pod, status: RuntimePodStatus): Promise<void> {
  const names = new Set(initContainers(pod).map((container) => container.name));
  for (const record of status.containers) if (names.has(record.name)) await remove(deps, record);
}

/** Ends and removes every container of a pod; its sandbox and logs stay (RestartAllContainers). */
export async function removeAll(
  deps: RuntimeManagerDeps,
  pod: Pod,
  status: RuntimePodStatus,
  signal: AbortSignal,
): Promise<void> {
  await Promise.all(
    status.containers.map(async (record) => {
      if (record.state !== 'exited') {
        const container = findContainer(pod, record.name)?.container;
        const message = `Stopping container ${record.name}: all containers of the pod restart`;
        const reason = 'restart-all' as const;
        const how = { message, reason, graceOverride: 0, signal };
        await killContainer(deps, { pod, record, container, podIps: status.ips, ...how });
      }
      await remove(deps, record);
    }),
  );
}

async function remove(deps: RuntimeManagerDeps, record: ContainerRecord): Promise<void> {
  try {
    await deps.runtime.removeContainer({ containerId: record.id });
  } catch (error) {
    if (!isSkiffError(error, 'NOT_FOUND')) throw error;
  }
}
