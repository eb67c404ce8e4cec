/** What Exec, Attach and PortForward check before they hand out a URL. */
import { SkiffError } from '#foundation/base/errors.ts';
import { isRunning } from '../containers/lifecycle.ts';
import type { ContainerTable } from '../containers/table.ts';
import type { Sandboxes } from '../ports.ts';

/** The checks over containers and sandboxes. */
export function streamingChecks(containers: Pick<ContainerTable, 'find'>, sandboxes: Sandboxes) {
  return {
    /** @throws SkiffError NOT_FOUND; FAILED_PRECONDITION if it does not run. */
    requireRunning(id: string): void {
      const container = containers.find(id);
      if (container === undefined) throw new SkiffError('NOT_FOUND', `No container has the id "${id}"`);
      if (!isRunning(container.record.life))
        throw new SkiffError(
          'FAILED_PRECONDITION',
          `Container "${id}" is not running: it is ${container.record.life.phase}`,
        );
    },
    /** @throws SkiffError NOT_FOUND; FAILED_PRECONDITION if it is not ready. */
    requireReady(id: string): void {
      const sandbox = sandboxes.find(id);
      if (sandbox === undefined) throw new SkiffError('NOT_FOUND', `No sandbox has the id "${id}"`);
      if (!sandbox.ready)
        throw new SkiffError('FAILED_PRECONDITION', `Sandbox "${id}" is not ready; nothing listens in it`);
    },
  };
}
