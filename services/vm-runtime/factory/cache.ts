/**
 * Keeps VMs that wait for a pod: booted ones, or clones.
 *
 *     DIRECTORY/lock                 held while VMs are made ready or removed
 *     DIRECTORY/GUEST-VCPUS-MIB-N    a VM that waits, with its share; taken by renaming it to the pod's directory,
 *                                    which only one of several can
 *     DIRECTORY/GUEST-VCPUS-MIB-N.new  one that is being booted; a crash leaves it, the next refill removes it
 *
 * The pod's NICs are added once it is taken. A VM that waits is in no pod's cgroup; it is moved there.
 */
import { randomBytes } from 'node:crypto';
import { existsSync, readdirSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { errnoOf, isSkiffError, SkiffError, wrapError } from '#foundation/base/errors.ts';
import { undoStack } from '#foundation/base/undo.ts';
import { cgroupDirectories, cgroupLayout } from '#foundation/linux/cgroups.ts';
import { prepareNamespaces } from '#foundation/linux/namespaces.ts';
import type { GuestImage } from '../guest-image/types.ts';
import { carryNetwork, dropNetwork } from '../network/carry.ts';
import { assemble, reattachPod, releasePod } from './assemble.ts';
import type { FactoryDeps, VmShape } from './deps.ts';
import { bootPod } from './direct.ts';
import { savePodRecord } from './pod-record.ts';
import { aheadMs, introduce } from './ready.ts';
import { locked } from './template.ts';
import type { PodVm, PodVmRequest, VmFactory } from './types.ts';
import { warmUp } from './warm-up.ts';

const defaultWaiting = 2;

/** Makes the factory. When none waits it boots directly. */
export function cacheFactory(deps: FactoryDeps): VmFactory {
  const otherwise = deps.otherwise ?? ((request: PodVmRequest) => bootPod(deps, request));
  return {
    kind: 'cache',
    acquire: async (request) => (await take(deps, request)) ?? (await otherwise(request)),
    reattach: (directory, signal) => reattachPod(deps, directory, signal),
    release: (directory, netns) => releasePod(deps, directory, netns),
    refill: (signal) => locked(deps, () => refill(deps, signal)),
    drain: () => locked(deps, () => removeAll(deps)),
  };
}

/** Takes a VM that waits; undefined if there is none of the size. */
async function take(deps: FactoryDeps, request: PodVmRequest): Promise<PodVm | undefined> {
  // Those that wait have a share.
  if (request.sharing === 'block') return undefined;
  for (const name of waitingOf(deps, await deps.image(), request)) {
    try {
      if (existsSync(request.directory))
        throw new SkiffError(
          'ALREADY_EXISTS',
          `Cannot make the VM ${request.id}: "${request.directory}" is there`,
        );
      renameSync(join(deps.directory, name), request.directory);
    } catch (error) {
      if (errnoOf(error) === 'ENOENT') continue; // Somebody else was quicker.
      if (errnoOf(error) === 'EXDEV') return undefined; // Another file system: then none can be had.
      throw error;
    }
    const pod = await adopt(deps, request);
    if (pod !== undefined) return pod;
  }
  return undefined;
}

/** Makes a taken VM the pod's. @returns undefined if it died while it waited; nothing is left of it then. */
async function adopt(deps: FactoryDeps, request: PodVmRequest): Promise<PodVm | undefined> {
  const { directory, netns, cgroup, signal } = request;
  await using undo = undoStack();
  undo.defer('remove the VM', () => releasePod(deps, directory, netns));
  let pod: PodVm;
  try {
    pod = await reattachPod(deps, directory, signal);
  } catch (error) {
    if (isSkiffError(error, 'NOT_FOUND', 'UNAVAILABLE')) return undefined;
    throw error;
  }
  try {
    if (cgroup !== undefined)
      moveTo(cgroup, [pod.vm.pid, pod.share?.pid ?? pod.vm.pid, ...pod.vm.helperPids()]);
    await prepareNamespaces();
    const network = netns === undefined ? undefined : await carryNetwork(netns);
    if (netns !== undefined) undo.defer('take the network back', () => dropNetwork(netns));
    for (const nic of network?.nics ?? []) await pod.vm.addNic(nic);
    network?.closeTaps();
    await introduce(pod.agent, { network, shared: false });
    savePodRecord(directory, {
      ...{ version: 1, origin: pod.origin, sharing: request.sharing },
      ...(netns === undefined ? {} : { netns }),
    });
    undo.commit();
    return { ...pod, network };
  } catch (error) {
    pod.agent.close();
    throw wrapError(error, `Cannot make the VM ${request.id}`);
  }
}

function moveTo(cgroup: string, pids: readonly number[]): void {
  for (const directory of cgroupDirectories(cgroupLayout(), cgroup))
    for (const pid of pids) writeFileSync(join(directory, 'cgroup.procs'), String(pid));
}

/** Names of those that wait, of a guest and a size. */
function waitingOf(deps: FactoryDeps, image: GuestImage, shape: VmShape): string[] {
  if (!existsSync(deps.directory)) return [];
  const prefix = prefixOf(image, shape);
  return readdirSync(deps.directory).filter((name) => name.startsWith(prefix) && !name.endsWith('.new'));
}

function prefixOf({ digest }: GuestImage, { vcpus, memoryBytes }: VmShape): string {
  return `${digest.slice(0, 8)}-${vcpus}-${memoryBytes / (1024 * 1024)}-`;
}

async function refill(deps: FactoryDeps, signal: AbortSignal | undefined): Promise<void> {
  const image = await deps.image();
  await removeUnwanted(deps, image);
  for (const shape of deps.shapes)
    while (waitingOf(deps, image, shape).length < (deps.waiting ?? defaultWaiting)) {
      signal?.throwIfAborted();
      await prepareOne(deps, image, shape, signal);
    }
}

/** Makes one and leaves it to whoever comes. */
async function prepareOne(
  deps: FactoryDeps,
  image: GuestImage,
  shape: VmShape,
  signal: AbortSignal | undefined,
): Promise<void> {
  const path = join(deps.directory, `${prefixOf(image, shape)}${randomBytes(4).toString('hex')}`);
  const { vcpus, memoryBytes } = shape;
  const request: PodVmRequest = {
    ...{ id: 'waiting', directory: `${path}.new`, vcpus, memoryBytes, sharing: 'virtiofs' },
    deadlineMs: aheadMs,
    ...(signal === undefined ? {} : { signal }),
  };
  const prepare = deps.prepare ?? ((wanted: PodVmRequest) => bootOne(deps, image, wanted));
  const pod = await prepare(request);
  pod.agent.close();
  pod.share?.release();
  pod.vm.release();
  renameSync(`${path}.new`, path);
}

async function bootOne(deps: FactoryDeps, image: GuestImage, request: PodVmRequest): Promise<PodVm> {
  const { id, vcpus, memoryBytes, signal } = request;
  const pod = await assemble(deps, request, 'cache', (devices) =>
    deps.hypervisor.start({ id, vcpus, memoryBytes, image, hotplug: true, ...devices }, signal),
  );
  await warmUp(pod.agent);
  return pod;
}

/** Removes what a crash left half made or half removed, and those of another guest or size. */
async function removeUnwanted(deps: FactoryDeps, image: GuestImage): Promise<void> {
  for (const name of namesIn(deps.directory)) {
    const wanted = deps.shapes.some((shape) => name.startsWith(prefixOf(image, shape)));
    const foreign = !name.startsWith('taken-') && !wanted;
    if (foreign) await removeWaiting(deps, name);
    else if (name.endsWith('.new') || name.startsWith('taken-'))
      await releasePod(deps, join(deps.directory, name));
  }
}

async function removeAll(deps: FactoryDeps): Promise<void> {
  for (const name of namesIn(deps.directory)) await removeWaiting(deps, name);
}

/** Takes it as a pod would, so that no pod can, and ends it. */
async function removeWaiting(deps: FactoryDeps, name: string): Promise<void> {
  const taken = join(deps.directory, name.startsWith('taken-') ? name : `taken-${name}`);
  try {
    renameSync(join(deps.directory, name), taken);
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return;
    throw error;
  }
  await releasePod(deps, taken);
}

/** VMs that wait, are being booted, or are being removed. */
function namesIn(directory: string): string[] {
  if (!existsSync(directory)) return [];
  return readdirSync(directory).filter((name) =>
    /^(taken-)?[0-9a-f]{8}-\d+-\d+-[0-9a-f]{8}(\.new)?$/.test(name),
  );
}
