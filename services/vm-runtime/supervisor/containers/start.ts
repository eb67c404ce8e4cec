/** StartContainer: lets the waiting process go on to the container's program. */
import { SkiffError } from '#foundation/base/errors.ts';
import { nowNanos } from '#foundation/base/time.ts';
import type { Core } from '../core.ts';
import { saveContainer } from '../exits.ts';
import { tryHooks } from '../hooks.ts';
import { stateOf } from '../state.ts';
import { getContainer } from './find.ts';

/** Starts a created container. @throws SkiffError FAILED_PRECONDITION in any other state. */
export async function startContainer(core: Core, id: string): Promise<void> {
  await core.locks.run(id, async () => {
    const container = getContainer(core, id);
    const { record } = container;
    if (record.status !== 'created')
      throw new SkiffError('FAILED_PRECONDITION', `cannot start a container in the ${record.status} state`);
    const { agent } = await core.machine();
    await agent.startContainer(id);
    record.startedAt = String(nowNanos());
    // It may have ended before the guest's answer came.
    if (record.status === 'created') record.status = 'running';
    saveContainer(core, container);
    core.events.emit('CONTAINER_STARTED', { container: id });
    await tryHooks('poststart', record.poststart, stateOf(record), core.say);
  });
}
