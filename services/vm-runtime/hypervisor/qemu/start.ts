/** Starting VMs, and finding them again. */
import { closeSync, mkdirSync, rmSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { SkiffError, wrapError } from '#foundation/base/errors.ts';
import { undoStack } from '#foundation/base/undo.ts';
import { createMemoryFile } from '#foundation/linux/memory-file.ts';
import { isRunning } from '#foundation/linux/process.ts';
import type { VmSpec } from '../types.ts';
import { tscParameter } from './acceleration.ts';
import { type LaunchDeps, type Launched, launch } from './launch.ts';
import { connectQmp } from './qmp.ts';
import { readRecord, saveRecord, type VmRecord, vmFiles } from './record.ts';
import { createVm, type QemuVm } from './vm.ts';

const mebibyte = 1024 * 1024;

/** What starting needs. */
export interface StartDeps extends LaunchDeps {
  acceleration(): Promise<'kvm' | 'tcg'>;
}

/** Boots a VM. See `Hypervisor.start`. */
export async function startVm(deps: StartDeps, spec: VmSpec, signal?: AbortSignal): Promise<QemuVm> {
  if (spec.memoryBytes % mebibyte !== 0 || spec.memoryBytes < 64 * mebibyte || spec.vcpus < 1)
    throw new SkiffError('INVALID_ARGUMENT', `A VM needs whole MiB, 64 at least, and a vCPU: ${spec.id}`);
  const acceleration = await deps.acceleration();
  const record: VmRecord = {
    version: 1,
    hypervisor: 'qemu',
    id: spec.id,
    vcpus: spec.vcpus,
    memoryBytes: spec.memoryBytes,
    acceleration,
    memory: 'shared',
    hotplug: spec.hotplug === true,
    placesUsed: 0,
  };
  const parameters = [
    ...['console=ttyS0', ...spec.image.kernelParameters],
    ...(acceleration === 'tcg' ? tscParameter() : []),
    // Links that save no power need no looking after.
    ...(record.hotplug ? ['pcie_ports=compat', 'pcie_aspm=off'] : []),
    ...(spec.kernelParameters ?? []),
  ];
  const memoryFd = createMemoryFile(spec.id, spec.memoryBytes);
  try {
    return await bringUp(deps, {
      ...{ directory: spec.directory, record, memoryFd, cgroup: spec.cgroup, signal },
      ...{ nics: spec.nics, shares: spec.shares, boot: { image: spec.image, parameters } },
    });
  } finally {
    closeSync(memoryFd);
  }
}

/** How to bring up a process, for booting and for cloning. */
export interface BringUp {
  directory: string;
  record: VmRecord;
  memoryFd: number;
  nics: VmSpec['nics'];
  shares: VmSpec['shares'];
  cgroup: string | undefined;
  signal: AbortSignal | undefined;
  boot?: { image: VmSpec['image']; parameters: readonly string[] };
}

/** Makes the directory, starts the process, connects to it. Nothing is left if it fails. */
export async function bringUp(deps: LaunchDeps, how: BringUp): Promise<QemuVm> {
  const { directory, record, signal } = how;
  await using undo = undoStack();
  let launched: Launched | undefined;
  try {
    mkdirSync(directory, { mode: 0o700 });
    undo.defer('remove the directory', () => rmSync(directory, { recursive: true, force: true }));
    saveRecord(directory, record);
    const { boot, memoryFd, nics, shares, cgroup } = how;
    const machine = { ...record, directory, ...(boot === undefined ? {} : { boot }) };
    launched = await launch(deps, { machine, memoryFd, nics, shares, cgroup });
    const { identity, exited, said, kill } = launched;
    undo.defer('end the process', async () => {
      kill();
      await exited;
    });
    const running = { ...record, process: identity };
    saveRecord(directory, running);
    // A QEMU that ends at once closes its socket: then its words are the error.
    const qmp = await connectQmp(vmFiles(directory).qmp, signal === undefined ? {} : { signal });
    undo.commit();
    return createVm({ directory, record: running, qmp, exited, said, boots: boot !== undefined });
  } catch (error) {
    throw await explain(error, record.id, launched);
  }
}

/** The error with QEMU's own words, if it ended by itself. */
async function explain(error: unknown, id: string, launched: Launched | undefined): Promise<SkiffError> {
  const what = `Cannot start the VM ${id}`;
  if (launched === undefined) return wrapError(error, what);
  const ended = await Promise.race([launched.exited, sleep(50, undefined)]);
  if (ended === undefined) return wrapError(error, what);
  const said = launched.said() || 'it said nothing';
  return new SkiffError('FAILED_PRECONDITION', `${what}: QEMU ended with ${ended.code}: ${said}`, {
    cause: error,
  });
}

/** Finds a VM again. See `Hypervisor.attach`. */
export async function attachVm(directory: string, signal?: AbortSignal): Promise<QemuVm> {
  const record = readRecord(directory);
  if (record.process === undefined || !isRunning(record.process))
    throw new SkiffError('NOT_FOUND', `The VM ${record.id} does not run any more`);
  const qmp = await connectQmp(vmFiles(directory).qmp, signal === undefined ? {} : { signal });
  return createVm({ directory, record: { ...record, process: record.process }, qmp });
}
