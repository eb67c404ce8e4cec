/**
 * Clones a saved VM of the wanted size.
 *
 *     DIRECTORY/lock               held while templates are made or removed
 *     DIRECTORY/KEY                a template; the key is what it was made of
 *     DIRECTORY/KEY.source         the VM that is to become one; a crash leaves it, the next refill removes it
 */
import { createHash } from 'node:crypto';
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { makeDirectories } from '#foundation/base/directories.ts';
import { isSkiffError, SkiffError } from '#foundation/base/errors.ts';
import { lockFile } from '#foundation/linux/file-lock.ts';
import type { GuestImage } from '../guest-image/types.ts';
import type { VmTemplate } from '../hypervisor/types.ts';
import { assemble, reattachPod, releasePod } from './assemble.ts';
import type { FactoryDeps, VmShape } from './deps.ts';
import { bootPod } from './direct.ts';
import { aheadMs, awaitAgent } from './ready.ts';
import type { PodVm, PodVmRequest, VmFactory } from './types.ts';
import { warmUp } from './warm-up.ts';

/** Counts up when a template of before could not be cloned any more: other devices, another agent's habits. */
const formatVersion = 2;
const defaultSettleMs = 2500;

/** Makes the factory. Without a template (before the first `refill`, or of another size) it boots directly. */
export function templateFactory(deps: FactoryDeps): VmFactory {
  return {
    kind: 'template',
    acquire: (request) => acquire(deps, request),
    reattach: (directory, signal) => reattachPod(deps, directory, signal),
    release: (directory, netns) => releasePod(deps, directory, netns),
    refill: (signal) => locked(deps, () => refill(deps, signal)),
    drain: () => locked(deps, () => keepOnly(deps, [])),
  };
}

async function acquire(deps: FactoryDeps, request: PodVmRequest): Promise<PodVm> {
  const template = await templateFor(deps, request);
  if (template === undefined) return await bootPod(deps, request);
  try {
    return await clone(deps, template, request);
  } catch (error) {
    // Its keeper was ended under us: a direct boot serves as well.
    if (isSkiffError(error, 'NOT_FOUND') && request.netns === undefined) return await bootPod(deps, request);
    throw error;
  }
}

/** A clone, with places for NICs, and nothing else. @throws SkiffError NOT_FOUND if there is no template of the size. */
export async function cloneOnly(deps: FactoryDeps, request: PodVmRequest): Promise<PodVm> {
  const template = await templateFor(deps, request);
  if (template === undefined)
    throw new SkiffError('NOT_FOUND', `There is no template for the VM ${request.id}`);
  return await clone(deps, template, request);
}

async function templateFor(deps: FactoryDeps, shape: VmShape): Promise<VmTemplate | undefined> {
  return deps.hypervisor.openTemplate(join(deps.directory, keyOf(deps, await deps.image(), shape)));
}

function clone(deps: FactoryDeps, template: VmTemplate, request: PodVmRequest): Promise<PodVm> {
  const { id, cgroup, signal } = request;
  return assemble(deps, request, 'template', (devices) =>
    deps.hypervisor.restore(
      template,
      { id, ...devices, ...(cgroup === undefined ? {} : { cgroup }) },
      signal,
    ),
  );
}

/** Names what a template is made of. */
function keyOf({ hypervisor }: FactoryDeps, image: GuestImage, { vcpus, memoryBytes }: VmShape): string {
  const parts = [formatVersion, hypervisor.name, image.digest, vcpus, memoryBytes];
  return createHash('sha256').update(parts.join(' ')).digest('hex').slice(0, 16);
}

/** Makes the templates that are missing and removes those of other images and sizes. */
async function refill(deps: FactoryDeps, signal: AbortSignal | undefined): Promise<void> {
  const image = await deps.image();
  const wanted = deps.shapes.map((shape) => ({ shape, key: keyOf(deps, image, shape) }));
  await keepOnly(
    deps,
    wanted.map(({ key }) => key),
  );
  for (const { shape, key } of wanted) {
    signal?.throwIfAborted();
    if (deps.hypervisor.openTemplate(join(deps.directory, key)) === undefined)
      await makeTemplate(deps, image, shape, key, signal);
  }
}

async function makeTemplate(
  deps: FactoryDeps,
  image: GuestImage,
  shape: VmShape,
  key: string,
  signal: AbortSignal | undefined,
): Promise<void> {
  const { hypervisor } = deps;
  const source = join(deps.directory, `${key}.source`);
  const size = { vcpus: shape.vcpus, memoryBytes: shape.memoryBytes };
  const spec = { id: 'template', directory: source, image, ...size, nics: [], shares: [], hotplug: true };
  try {
    const vm = await hypervisor.start(spec, signal);
    const agent = await awaitAgent(deps, vm, {
      ...{ deadlineMs: aheadMs, fresh: true },
      ...(signal === undefined ? {} : { signal }),
    });
    await warmUp(agent);
    await agent.dropCaches();
    agent.close();
    await sleep(deps.settleMs ?? defaultSettleMs, undefined, { signal });
    await hypervisor.removeTemplate(join(deps.directory, key));
    await hypervisor.saveTemplate(vm, { key, directory: join(deps.directory, key) });
  } finally {
    await hypervisor.cleanUp(source);
  }
}

/** Removes all templates but those of `keys`, also lifeless ones and what a crash left. */
async function keepOnly(deps: FactoryDeps, keys: readonly string[]): Promise<void> {
  if (!existsSync(deps.directory)) return;
  for (const name of readdirSync(deps.directory)) {
    const path = join(deps.directory, name);
    if (/^[0-9a-f]{16}\.source$/.test(name)) await deps.hypervisor.cleanUp(path);
    else if (/^[0-9a-f]{16}$/.test(name) && !(keys.includes(name) && deps.hypervisor.openTemplate(path)))
      await deps.hypervisor.removeTemplate(path);
  }
}

/** One at a time for the directory; whoever comes second leaves it to the first. */
export async function locked(deps: Pick<FactoryDeps, 'directory'>, work: () => Promise<void>): Promise<void> {
  makeDirectories(deps.directory, 0o700);
  let lock: Disposable;
  try {
    lock = lockFile(join(deps.directory, 'lock'), 'another factory');
  } catch (error) {
    if (isSkiffError(error, 'ALREADY_EXISTS')) return;
    throw error;
  }
  try {
    await work();
  } finally {
    lock[Symbol.dispose]();
  }
}
