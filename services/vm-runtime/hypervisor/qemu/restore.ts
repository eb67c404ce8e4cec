/** Clones of templates. */
import { closeSync, openSync, rmSync } from 'node:fs';
import { wrapError } from '#foundation/base/errors.ts';
import { undoStack } from '#foundation/base/undo.ts';
import { copyMemoryFile, createMemoryFile } from '#foundation/linux/memory-file.ts';
import { identify } from '#foundation/linux/process.ts';
import { relayProgram, startRelay } from '../../relay/relay.ts';
import type { CloneMemory, VmShare, VmSpec } from '../types.ts';
import { type LaunchDeps, userOf } from './launch.ts';
import type { Qmp } from './qmp.ts';
import type { VmRecord } from './record.ts';
import { bringUp } from './start.ts';
import { devicesFile, ignoreShared, migrated, openTemplateMemory, type QemuTemplate } from './template.ts';
import type { QemuVm } from './vm.ts';

/** What a clone is to be. */
export type CloneSpec = Pick<VmSpec, 'id' | 'directory' | 'nics' | 'shares' | 'cgroup'> & {
  memory: CloneMemory;
};

/** What cloning needs. */
export interface RestoreDeps extends LaunchDeps {
  /** Where the relay's program is kept. */
  cacheDirectory: string;
}

/** Starts a clone. See `Hypervisor.restore`. */
export async function restoreVm(
  deps: RestoreDeps,
  template: QemuTemplate,
  spec: CloneSpec,
  signal?: AbortSignal,
): Promise<QemuVm> {
  await using fds = undoStack();
  const original = openTemplateMemory(template);
  fds.defer('close the template', () => closeSync(original));
  const own = spec.memory === 'copy' ? createMemoryFile(spec.id, template.memoryBytes) : undefined;
  if (own !== undefined) fds.defer('close the memory', () => closeSync(own));
  // QEMU starts while its memory is being copied.
  const copied = own === undefined ? Promise.resolve() : copyMemoryFile(original, own, signal);
  copied.catch(() => {});
  const { vcpus, memoryBytes, acceleration } = template.record;
  const record: VmRecord = {
    ...{ version: 1, hypervisor: 'qemu', id: spec.id, vcpus, memoryBytes, acceleration },
    ...{ memory: spec.memory === 'cow' ? 'cow' : 'shared', hotplug: true, placesUsed: 0 },
  };
  const { directory, cgroup } = spec;
  // Before the copy's descriptor may be closed, copying must have ended, also when QEMU did not start.
  const vm = await bringUp(deps, {
    ...{ directory, record, cgroup, signal, nics: [], shares: [] },
    memoryFd: own ?? original,
  }).catch(async (error: unknown) => {
    await copied.catch(() => {});
    throw error;
  });
  await using undo = undoStack();
  undo.defer('end the clone', async () => {
    await vm.kill();
    rmSync(directory, { recursive: true, force: true });
  });
  try {
    await copied;
    await loadDevices(vm.qmp, devicesFile(template.directory));
    for (const share of spec.shares) await addShare(deps, vm, spec, share);
    for (const nic of spec.nics) await vm.addNic(nic);
    await vm.resume();
    undo.commit();
    return vm;
  } catch (error) {
    await copied.catch(() => {});
    throw wrapError(error, `Cannot make the clone ${spec.id}`);
  }
}

/** A share of memory that is the clone's alone needs somebody between: the file server cannot map it. */
async function addShare(deps: RestoreDeps, vm: QemuVm, spec: CloneSpec, share: VmShare): Promise<void> {
  if (spec.memory === 'copy') return await vm.addShare(share);
  const program = await relayProgram(deps.cacheDirectory);
  const { directory, cgroup } = spec;
  const request = { pid: vm.pid, user: userOf(directory), server: share.fd };
  const relay = await startRelay(
    { ...deps, program },
    { ...request, ...(cgroup === undefined ? {} : { cgroup }) },
  );
  const identity = identify(relay.pid);
  if (identity !== undefined) vm.record.relays = [...(vm.record.relays ?? []), identity];
  try {
    // Writes the record down.
    await vm.addShare({ tag: share.tag, fd: relay.fd, relayed: true });
  } catch (error) {
    const said = relay.said();
    throw said === '' ? error : wrapError(error, said.trim());
  } finally {
    closeSync(relay.fd);
  }
}

async function loadDevices(qmp: Qmp, path: string): Promise<void> {
  await ignoreShared(qmp);
  const fd = openSync(path, 'r');
  try {
    await qmp.execute('getfd', { fdname: 'devices' }, { fds: [fd] });
  } finally {
    closeSync(fd);
  }
  await qmp.execute('migrate-incoming', { uri: 'fd:devices' });
  await migrated(qmp);
}
