/** The steps that every factory has in common: directory, share, network, VM, agent; and taking all that away. */
import { closeSync, mkdirSync, rmSync } from 'node:fs';
import { SkiffError, wrapError } from '#foundation/base/errors.ts';
import { undoStack } from '#foundation/base/undo.ts';
import { prepareNamespaces } from '#foundation/linux/namespaces.ts';
import type { Vm, VmNic, VmShare } from '../hypervisor/types.ts';
import { carryNetwork, dropNetwork } from '../network/carry.ts';
import { attachShare, removeShare, startShare } from '../storage/share.ts';
import type { FactoryDeps } from './deps.ts';
import { podFiles, readPodRecord, savePodRecord } from './pod-record.ts';
import { awaitAgent, introduce } from './ready.ts';
import type { FactoryKind, PodVm, PodVmRequest } from './types.ts';

/** How a factory gets the VM itself, once its NICs and shares are open. */
export type StartVm = (devices: {
  directory: string;
  nics: readonly VmNic[];
  shares: readonly VmShare[];
}) => Promise<Vm>;

/** Puts a pod's VM together. Nothing is left if it fails. */
export async function assemble(
  deps: FactoryDeps,
  request: PodVmRequest,
  origin: FactoryKind,
  start: StartVm,
): Promise<PodVm> {
  const { directory, netns, sharing, signal, deadlineMs } = request;
  const files = podFiles(directory);
  await using undo = undoStack();
  try {
    await prepareNamespaces();
    mkdirSync(directory, { mode: 0o700 });
    undo.defer('remove the directory', () => rmSync(directory, { recursive: true, force: true }));
    const network = netns === undefined ? undefined : await carryNetwork(netns);
    if (netns !== undefined) undo.defer('take the network back', () => dropNetwork(netns));
    if (network !== undefined) undo.defer('close the taps', () => network.closeTaps());
    const share = sharing === 'virtiofs' ? await startShareFor(deps, request) : undefined;
    if (share !== undefined) undo.defer('remove the share', () => removeShare(files.share));
    const vm = await start({
      directory: files.vm,
      nics: network?.nics ?? [],
      shares: share === undefined ? [] : [{ tag: share.tag, fd: share.connection }],
    }).finally(() => {
      if (share !== undefined) closeSync(share.connection);
    });
    undo.defer('end the VM', async () => {
      await vm.kill();
      await deps.hypervisor.cleanUp(files.vm);
    });
    network?.closeTaps();
    const agent = await awaitAgent(deps, vm, {
      fresh: true,
      ...(deadlineMs === undefined ? {} : { deadlineMs }),
      ...(signal === undefined ? {} : { signal }),
    }).catch(async (error: unknown) => {
      await deps.hypervisor.report(vm, false);
      throw error;
    });
    await deps.hypervisor.report(vm, true);
    undo.defer('close the agent', () => agent.close());
    await introduce(agent, { network, shared: share !== undefined });
    savePodRecord(directory, { version: 1, origin, sharing, ...(netns === undefined ? {} : { netns }) });
    undo.commit();
    return { vm, agent, share, network, origin };
  } catch (error) {
    throw wrapError(error, `Cannot make the VM ${request.id}`);
  }
}

async function startShareFor(deps: FactoryDeps, { directory, cgroup }: PodVmRequest) {
  const share = await startShare(
    { spawner: deps.spawner, ...(deps.fileServer === undefined ? {} : { program: deps.fileServer }) },
    { directory: podFiles(directory).share, ...(cgroup === undefined ? {} : { cgroup }) },
  );
  return Object.assign(share, { connection: share.takeConnection() });
}

/** Finds a pod's VM again. See `VmFactory.reattach`. */
export async function reattachPod(
  deps: FactoryDeps,
  directory: string,
  signal?: AbortSignal,
): Promise<PodVm> {
  const files = podFiles(directory);
  const record = readPodRecord(directory);
  if (record === undefined) throw new SkiffError('NOT_FOUND', `There is no VM at "${directory}"`);
  const share = record.sharing === 'virtiofs' ? attachShare(files.share) : undefined;
  const vm = await deps.hypervisor.attach(files.vm, signal);
  try {
    const agent = await awaitAgent(deps, vm, signal === undefined ? {} : { signal });
    return { vm, agent, share, network: undefined, origin: record.origin };
  } catch (error) {
    vm.release();
    share?.release();
    throw error;
  }
}

/** Takes everything away. See `VmFactory.release`. */
export async function releasePod(deps: FactoryDeps, directory: string, netns?: string): Promise<void> {
  const files = podFiles(directory);
  const network = netns ?? readPodRecord(directory)?.netns;
  await deps.hypervisor.cleanUp(files.vm);
  await removeShare(files.share);
  if (network !== undefined) {
    await prepareNamespaces();
    dropNetwork(network);
  }
  rmSync(directory, { recursive: true, force: true });
}
