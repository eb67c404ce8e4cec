/** What sandboxes do with their containers: end or remove all of them. */
import { messageOf, SkiffError } from '#foundation/base/errors.ts';
import type { SandboxContainers } from '../ports.ts';
import type { Core } from './deps.ts';
import { removeContainer } from './remove.ts';
import { killContainer } from './stop.ts';
import type { Container } from './table.ts';

/** The sandboxes' view of containers. */
export function sandboxContainers(core: Core): SandboxContainers {
  const each = async (sandboxId: string, what: string, work: (container: Container) => Promise<void>) => {
    await Promise.allSettled(creationsIn(core, sandboxId));
    const own = core.table.list().filter(({ record }) => record.sandboxId === sandboxId);
    const results = await Promise.allSettled(own.map(work));
    const failed = results.find((result) => result.status === 'rejected');
    if (failed !== undefined)
      throw new SkiffError(
        'INTERNAL',
        `Cannot ${what} all containers of sandbox "${sandboxId}": ${messageOf(failed.reason)}`,
        {
          cause: failed.reason,
        },
      );
  };
  return {
    killAll: (sandboxId) => each(sandboxId, 'stop', (container) => killContainer(core, container)),
    removeAll: (sandboxId, signal) =>
      each(sandboxId, 'remove', (container) => removeContainer(core, container.id, signal)),
  };
}

/** A container that is being made now must not outlive its sandbox. */
function creationsIn(core: Core, sandboxId: string): Promise<string>[] {
  return [...core.creating.values()].filter((one) => one.sandboxId === sandboxId).map(({ id }) => id);
}
