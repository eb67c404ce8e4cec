/** DeleteContainer: a stopped container, or with force a running one, is forgotten; the last takes the VM along. */
import { existsSync, rmSync } from 'node:fs';
import { messageOf, SkiffError } from '#foundation/base/errors.ts';
import type { Container, Core } from '../core.ts';
import { observeExit } from '../exits.ts';
import { tryHooks } from '../hooks.ts';
import { endMachine, untilEnded } from '../machine.ts';
import { removePod } from '../over.ts';
import { containerDirectory } from '../paths.ts';
import { stateOf } from '../state.ts';

/** Milliseconds that a killed process may take to end. */
const killMs = 20_000;

/** Deletes a container; one that is not there is success. */
export async function deleteContainer(core: Core, id: string, force: boolean): Promise<void> {
  await core.locks.run(id, async () => {
    const container = core.containers.get(id);
    if (container === undefined) return;
    const { status } = container.record;
    if (status !== 'stopped' && !force)
      throw new SkiffError(
        'FAILED_PRECONDITION',
        `cannot delete container "${id}" that is not stopped: ${status}`,
      );
    await forget(core, container);
  });
  await endIfLast(core);
}

/** Takes a container out of the guest, of the share and of the disk. */
export async function forget(core: Core, container: Container): Promise<void> {
  const { record } = container;
  const { life } = core;
  if (life.phase === 'ready') {
    const { agent, share } = life.pod;
    await agent.deleteContainer(record.id).catch((error) => {
      core.say('a container could not be deleted in the guest', { id: record.id, error: messageOf(error) });
      // What cannot be killed in the VM is killed with it.
      void endMachine(core, `container ${record.id} could not be deleted: ${messageOf(error)}`);
    });
    await ended(container);
    if (container.shares.length > 0) await agent.dropCaches({ deadlineMs: 5000 }).catch(() => {});
    for (const name of container.shares) share?.remove(name);
  }
  // Its shim must not outlive it.
  observeExit(core, container, { code: 137, signal: 9 });
  for (const [id, running] of container.execs)
    observeExit(core, container, { code: 137, signal: 9 }, { id, running });
  await tryHooks('poststop', record.poststop, stateOf(record), core.say);
  core.containers.delete(record.id);
  rmSync(containerDirectory(core.config.root, record.id), { recursive: true, force: true });
  core.events.emit('CONTAINER_DELETED', { container: record.id });
}

/** The news of the end comes beside the answer. */
async function ended(container: Container): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, container.record.status === 'stopped' ? 0 : Math.min(killMs, 500));
  });
  await Promise.race([container.ended.promise, late]);
  clearTimeout(timer);
}

/** Ends a VM that was made by its first container when its last is gone; nothing of it is left then. */
export async function endIfLast(core: Core): Promise<void> {
  if (!core.config.endsWithLast || core.containers.size > 0 || core.busy > 0) return;
  await endMachine(core, 'its last container was deleted', 2000);
  await untilEnded(core);
  // Whoever ended it may have been the one to remove it.
  if (existsSync(core.paths.directory)) await removePod(core);
}
