/** Containers by id, in the state that a verb needs. */
import { SkiffError } from '#foundation/base/errors.ts';
import type { Container, Core, Running } from '../core.ts';

/** @throws SkiffError NOT_FOUND */
export function getContainer(core: Core, id: string): Container {
  const container = core.containers.get(id);
  if (container === undefined) throw new SkiffError('NOT_FOUND', `container "${id}" does not exist`);
  return container;
}

/** A container whose process is there. @throws SkiffError FAILED_PRECONDITION naming its state. */
export function getLive(core: Core, id: string, what: string): Container {
  const container = getContainer(core, id);
  const { status } = container.record;
  if (status === 'stopped' || status === 'creating')
    throw new SkiffError('FAILED_PRECONDITION', `cannot ${what} a container in the ${status} state`);
  return container;
}

/** A container's own process, or one that Exec started. @throws SkiffError NOT_FOUND */
export function getProcess(core: Core, id: string, exec: string): Running {
  const container = getContainer(core, id);
  if (exec === '') return container;
  const running = container.execs.get(exec);
  if (running === undefined)
    throw new SkiffError('NOT_FOUND', `container "${id}" has no command with the id "${exec}"`);
  return running;
}
