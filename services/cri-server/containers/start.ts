/** StartContainer: lets the process that waits in a created container go on to its program, or restores a checkpoint. */
import { messageOf, SkiffError, wrapError } from '#foundation/base/errors.ts';
import { nowNanos } from '#foundation/base/time.ts';
import { programOf } from '#foundation/linux/process.ts';
import { restoreProcess } from './checkpoint/restore.ts';
import type { Core } from './deps.ts';
import { canStart } from './lifecycle.ts';
import { specOf } from './places.ts';
import type { Container } from './table.ts';

/** Starts a created container. @throws SkiffError FAILED_PRECONDITION in any other state. */
export async function startContainer(core: Core, id: string, signal: AbortSignal): Promise<void> {
  const container = core.table.get(id);
  try {
    await core.locks.run(container.id, () => startLocked(core, container), signal);
  } catch (error) {
    throw wrapError(error, `Cannot start container "${id}"`);
  }
}

async function startLocked(core: Core, container: Container): Promise<void> {
  const { life } = container.record;
  if (!canStart(life))
    throw new SkiffError(
      'FAILED_PRECONDITION',
      `it is ${life.phase}; only a created container can be started`,
    );
  requireSandbox(core, container);
  container.starting = true;
  try {
    await core.hooks.start(container);
    const startedAt = nowNanos();
    const process = life.phase === 'created' ? life.process : await restoreProcess(core, container);
    if (life.phase === 'created') {
      const driver = core.runtimes.driver(container.record.runtime);
      // The process of a container in a VM stays what it is.
      if (driver.pods === undefined) container.starter = programOf(life.process);
      await driver.start(container.id, specOf(core, container));
    }
    core.table.advance(container, { phase: 'running', process, startedAt });
    if (life.phase === 'restorable') core.exits.watch(container.id, process);
    core.emit('started', container);
    await core.hooks.started(container);
  } catch (error) {
    await fail(core, container, messageOf(error));
    throw error;
  } finally {
    container.starting = false;
    container.pendingExit?.();
    container.pendingExit = undefined;
  }
}

function requireSandbox(core: Core, { record }: Container): void {
  if (core.sandboxes.find(record.sandboxId)?.ready === true) return;
  throw new SkiffError('FAILED_PRECONDITION', `its sandbox ${record.sandboxId} is not ready`);
}

/** A container that could not be started ends as one whose program failed with 128. */
async function fail(core: Core, container: Container, message: string): Promise<void> {
  core.exits.unwatch(container.id);
  container.pendingExit = undefined;
  await core.runtimes
    .driver(container.record.runtime)
    .delete(container.id, { force: true })
    .catch((error: unknown) => {
      core.log.warn(
        { container: container.id, error },
        'a container that failed to start could not be deleted',
      );
    });
  const finishedAt = nowNanos();
  core.table.advance(container, {
    phase: 'exited',
    startedAt: 0n,
    finishedAt,
    exitCode: 128,
    reason: 'StartError',
    message,
  });
  container.ended.resolve();
  core.emit('stopped', container);
}
