/** RemoveContainer: ends it if need be, and takes away all that was made for it. Its log stays: it is the client's. */
import { rmSync } from 'node:fs';
import { SkiffError, wrapError } from '#foundation/base/errors.ts';
import { removeCgroup } from '#foundation/linux/cgroups.ts';
import { attachName } from '../runtimes/conmon.ts';
import type { Core } from './deps.ts';
import type { Lifecycle } from './lifecycle.ts';
import { bundleOf, imageVolumeKey, removeMonitorFiles } from './places.ts';
import { killContainer } from './stop.ts';
import type { Container } from './table.ts';

/** Removes a container, running or not; one that there is none of is success. */
export async function removeContainer(core: Core, id: string, signal?: AbortSignal): Promise<void> {
  if (id === '')
    throw new SkiffError('INVALID_ARGUMENT', 'Cannot remove a container: the request has no container_id');
  const container = core.table.find(id);
  if (container === undefined) return;
  try {
    await core.locks.run(container.id, () => removeLocked(core, container), signal);
  } catch (error) {
    throw wrapError(error, `Cannot remove container "${id}"`);
  }
}

async function removeLocked(core: Core, container: Container): Promise<void> {
  // Somebody may have removed it while this call waited for the lock.
  if (core.table.byName(container.record.name) !== container) return;
  await killContainer(core, container);
  const { life } = container.record;
  // From here on it is gone for clients, and a restart finishes what a crash interrupts.
  core.table.advance(container, { phase: 'removing', ...(life.phase === 'exited' ? { exited: life } : {}) });
  await core.hooks.removed(container);
  try {
    await releaseContainer(core, container);
  } catch (error) {
    restore(core, container, life);
    throw error;
  }
  core.table.remove(container.id);
  core.emit('deleted', container);
}

/** A client that is told of a failure must be able to see the container and to ask again. */
function restore(core: Core, container: Container, life: Lifecycle): void {
  if (life.phase === 'exited') core.table.advance(container, life);
}

/** Takes away what was made for a container; what is not there is success, so it can be repeated. */
export async function releaseContainer(
  core: Core,
  { id, record, config }: Pick<Container, 'id' | 'record' | 'config'>,
): Promise<void> {
  core.exits.unwatch(id);
  await core.runtimes.driver(record.runtime).delete(id, { force: true });
  await removeCgroup(core.host.cgroups, record.cgroupPath);
  core.ownCgroup.removeIfUnused();
  for (const [index, mount] of config.mounts.entries())
    if ((mount.image?.image ?? '') !== '') await core.images.removeRoot(imageVolumeKey(id, index));
  await core.images.removeRoot(id);
  removeMonitorFiles(core.monitor, attachName(id), id);
  rmSync(bundleOf(core.paths, id), { recursive: true, force: true });
}
