/** Tells running containers their CPUs when these have changed. */
import type { CriClient } from '#contracts/cri/client.ts';
import { ContainerState } from '#contracts/cri/runtime_pb.ts';
import type { Logger } from '#foundation/base/log.ts';
import type { CpuManager } from './cpu-manager.ts';

/** What bringing containers up to date needs. */
export interface CpuReconcileDeps {
  manager: Pick<CpuManager, 'cpusFor'>;
  cri: Pick<CriClient['runtime'], 'listContainers' | 'updateContainerResources'>;
  log: Logger;
}

/**
 * Tells running containers their CPUs where these have changed.
 *
 * @param told what each container was told last, by CRI id; kept between calls.
 */
export async function reconcileCpus(
  deps: CpuReconcileDeps,
  told: Map<string, string>,
  signal: AbortSignal,
): Promise<void> {
  const filter = { state: { state: ContainerState.CONTAINER_RUNNING } };
  const { containers } = await deps.cri.listContainers({ filter }, { signal });
  const ids = new Set(containers.map(({ id }) => id));
  for (const id of told.keys()) if (!ids.has(id)) told.delete(id);
  for (const { id, labels } of containers) {
    const uid = labels['io.kubernetes.pod.uid'] ?? '';
    const cpus = deps.manager.cpusFor(uid, labels['io.kubernetes.container.name'] ?? '');
    if (uid === '' || cpus === '' || told.get(id) === cpus) continue;
    try {
      await deps.cri.updateContainerResources({ containerId: id, linux: { cpusetCpus: cpus } }, { signal });
      told.set(id, cpus);
    } catch (error) {
      deps.log.warn({ containerId: id, err: error }, 'cannot tell a container its CPUs');
    }
  }
}
