/** Signals, waits, sizes, pauses, limits and processes of containers that run. */
import type { SpecResources } from '#contracts/oci/runtime.ts';
import { SkiffError } from '#foundation/base/errors.ts';
import type { GuestProcessInfo } from '../../agent-client/types.ts';
import type { Core } from '../core.ts';
import { saveContainer } from '../exits.ts';
import type { ExitRecord } from '../records.ts';
import { refuseBeyondMachine } from '../resize.ts';
import { guestResources } from '../translate/index.ts';
import { getContainer, getLive, getProcess } from './find.ts';

/** Sends a signal. */
export async function signal(
  core: Core,
  request: { id: string; execId: string; signal: number; all: boolean },
): Promise<void> {
  if (request.signal < 1 || request.signal > 64)
    throw new SkiffError('INVALID_ARGUMENT', `there is no signal ${request.signal}`);
  const container = getContainer(core, request.id);
  // As with runc: all processes of an ended container is none, and success.
  if (container.record.status === 'stopped' && request.all) return;
  getLive(core, request.id, 'signal');
  const { agent } = await core.machine();
  if (request.execId !== '')
    return getProcess(core, request.id, request.execId).process?.signal(request.signal, { all: request.all });
  await agent.signalContainer(request.id, request.signal, request.all);
}

/** Waits for the end of a process. */
export async function wait(
  core: Core,
  request: { id: string; execId: string },
  abort: AbortSignal,
): Promise<ExitRecord> {
  const { ended } = getProcess(core, request.id, request.execId);
  const cancelled = Promise.withResolvers<never>();
  const cancel = () => cancelled.reject(abort.reason);
  abort.addEventListener('abort', cancel, { once: true });
  cancelled.promise.catch(() => {});
  try {
    return await Promise.race([ended.promise, cancelled.promise]);
  } finally {
    abort.removeEventListener('abort', cancel);
  }
}

/** Sets a terminal's size. */
export async function resize(
  core: Core,
  request: { id: string; execId: string; width: number; height: number },
): Promise<void> {
  const { process } = getProcess(core, request.id, request.execId);
  await process?.resize({ columns: request.width, rows: request.height });
}

/** Stops all processes of a container where they are. */
export async function pause(core: Core, id: string): Promise<void> {
  await core.locks.run(id, async () => {
    const container = getLive(core, id, 'pause');
    if (container.record.status !== 'running')
      throw new SkiffError(
        'FAILED_PRECONDITION',
        `cannot pause a container in the ${container.record.status} state`,
      );
    await (await core.machine()).agent.pauseContainer(id);
    container.record.status = 'paused';
    saveContainer(core, container);
    core.events.emit('CONTAINER_PAUSED', { container: id });
  });
}

/** Lets a paused container go on. */
export async function resume(core: Core, id: string): Promise<void> {
  await core.locks.run(id, async () => {
    const container = getLive(core, id, 'resume');
    if (container.record.status !== 'paused')
      throw new SkiffError(
        'FAILED_PRECONDITION',
        `cannot resume a container in the ${container.record.status} state`,
      );
    await (await core.machine()).agent.resumeContainer(id);
    container.record.status = 'running';
    saveContainer(core, container);
    core.events.emit('CONTAINER_RESUMED', { container: id });
  });
}

/** Changes limits of a container in the guest. @throws SkiffError OUT_OF_RANGE for more than its VM has. */
export async function update(core: Core, id: string, resources: string): Promise<void> {
  let wanted: SpecResources;
  try {
    wanted = JSON.parse(resources) as SpecResources;
  } catch (error) {
    throw new SkiffError('INVALID_ARGUMENT', `the resources are not JSON: ${(error as Error).message}`);
  }
  getLive(core, id, 'update');
  const { agent, vm } = await core.machine();
  const { memory, cpu } = wanted;
  const cpus = (cpu?.quota ?? 0) / (cpu?.period || 100_000);
  refuseBeyondMachine(vm, { cpus, ...(memory?.limit === undefined ? {} : { memory: memory.limit }) });
  const { devices: _, ...limits } = guestResources(wanted);
  await agent.updateContainer(id, JSON.stringify(limits));
}

/** The processes of a container, as the guest numbers them. */
export async function listProcesses(core: Core, id: string): Promise<GuestProcessInfo[]> {
  getLive(core, id, 'list processes of');
  return (await core.machine()).agent.listProcesses(id);
}
