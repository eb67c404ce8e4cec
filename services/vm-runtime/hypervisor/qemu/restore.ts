/**
 * Clones of templates: QEMU with the template's memory, copy-on-write, and the state of its devices; then what is the
 * clone's alone.
 *
 *     relays started -> QEMU started -> devices' state loaded -> guest goes on -> shares and NICs added
 *
 * Guest memory that is the clone's alone no file server can map: hence a relay for each share (../../relay).
 */
import { closeSync, openSync, rmSync } from 'node:fs';
import { wrapError } from '#foundation/base/errors.ts';
import { undoStack } from '#foundation/base/undo.ts';
import { identify } from '#foundation/linux/process.ts';
import { type Relay, relayProgram, startRelay } from '../../relay/relay.ts';
import type { VmSpec } from '../types.ts';
import { plugShare, takePlace } from './hotplug.ts';
import { type LaunchDeps, userOf } from './launch.ts';
import type { Qmp } from './qmp.ts';
import { saveRecord, type VmRecord } from './record.ts';
import { bringUp } from './start.ts';
import { devicesFile, ignoreShared, migrated, openTemplateMemory, type QemuTemplate } from './template.ts';
import type { QemuVm } from './vm.ts';

/** What a clone is to be. */
export type CloneSpec = Pick<VmSpec, 'id' | 'directory' | 'nics' | 'shares' | 'cgroup'>;

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
  await using ours = undoStack();
  const relays: Relay[] = [];
  try {
    const memoryFd = openTemplateMemory(template);
    ours.defer('close the template', () => closeSync(memoryFd));
    // Before QEMU, which takes as long to start as a relay and its file server do.
    for (const share of spec.shares) {
      const relay = await relayFor(deps, spec, share.fd);
      ours.defer('close the relay', () => relay.close());
      relays.push(relay);
    }
    const { directory, cgroup } = spec;
    const record = cloneRecord(template, spec, relays);
    const vm = await bringUp(deps, { directory, record, cgroup, signal, memoryFd, nics: [], shares: [] });
    await using undo = undoStack();
    undo.defer('end the clone', async () => {
      await vm.kill();
      rmSync(directory, { recursive: true, force: true });
    });
    await loadDevices(vm.qmp, devicesFile(template.directory));
    await vm.resume();
    // The guest looks for them when it is told to, and has to wake up until then.
    await addDevices(vm, spec, relays);
    undo.commit();
    return vm;
  } catch (error) {
    const said = relays.map((relay) => relay.said().trim()).join('');
    throw wrapError(error, `Cannot make the clone ${spec.id}${said === '' ? '' : `: ${said}`}`);
  }
}

async function relayFor(deps: RestoreDeps, spec: CloneSpec, server: number): Promise<Relay> {
  const { directory, cgroup } = spec;
  const program = await relayProgram(deps.cacheDirectory);
  const request = { user: userOf(directory), server, ...(cgroup === undefined ? {} : { cgroup }) };
  return await startRelay({ spawner: deps.spawner, program }, request);
}

function cloneRecord({ record }: QemuTemplate, { id }: CloneSpec, relays: readonly Relay[]): VmRecord {
  const { vcpus, memoryBytes, acceleration } = record;
  return {
    ...{ version: 1, hypervisor: 'qemu', id, vcpus, memoryBytes, acceleration },
    ...{ memory: 'cow', hotplug: true, placesUsed: 0 },
    relays: relays.flatMap(({ pid }) => identify(pid) ?? []),
  };
}

async function loadDevices(qmp: Qmp, path: string): Promise<void> {
  const fd = openSync(path, 'r');
  try {
    await qmp.execute('getfd', { fdname: 'devices' }, { fds: [fd] });
  } finally {
    closeSync(fd);
  }
  // QEMU does one after the other, so nobody needs to wait between them.
  await Promise.all([ignoreShared(qmp), qmp.execute('migrate-incoming', { uri: 'fd:devices' })]);
  await migrated(qmp);
}

async function addDevices(vm: QemuVm, spec: CloneSpec, relays: readonly Relay[]): Promise<void> {
  for (const [index, relay] of relays.entries()) {
    relay.giveMemory(vm.pid);
    const place = takePlace(vm.record);
    saveRecord(vm.directory, vm.record);
    await plugShare(vm.qmp, place, { tag: spec.shares[index]?.tag ?? '', fd: relay.fd });
  }
  for (const nic of spec.nics) await vm.addNic(nic);
}
