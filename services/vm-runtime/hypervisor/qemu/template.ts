/**
 * Templates: a booted VM, saved. Its memory is a file without a name, sealed so that no clone can change it, that a
 * keeper process holds; what the machine's devices are is a small file. A clone maps the memory copy-on-write.
 *
 *     DIRECTORY/template.json   record: size, keeper's process     written last: without it there is no template
 *     DIRECTORY/devices         QEMU's migration stream without the memory ("x-ignore-shared")
 *     keeper (`tail -f` of the devices), descriptor 3: the memory
 *
 * The memory goes with its keeper and the last clone that shares it; a keeper whose template is not wanted any more
 * is found by the record, or by its arguments.
 */
import { closeSync, mkdirSync, openSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { SkiffError, wrapError } from '#foundation/base/errors.ts';
import { replaceFileSync } from '#foundation/base/files.ts';
import { undoStack } from '#foundation/base/undo.ts';
import { sealMemoryFile } from '#foundation/linux/memory-file.ts';
import { identify, isRunning, type ProcessIdentity, signalProcess } from '#foundation/linux/process.ts';
import type { Spawner } from '#foundation/linux/spawn.ts';
import type { VmTemplate } from '../types.ts';
import { memoryFdOfProcess } from './launch.ts';
import { type Qmp, recordOf } from './qmp.ts';
import type { QemuVm } from './vm.ts';

/** What is on disk of a template. */
export interface TemplateRecord {
  version: 1;
  key: string;
  vcpus: number;
  memoryBytes: number;
  acceleration: 'kvm' | 'tcg';
  keeper: ProcessIdentity;
}

/** A template, and what this hypervisor knows of it. */
export interface QemuTemplate extends VmTemplate {
  readonly record: TemplateRecord;
}

/** The file of the devices' state. */
export function devicesFile(directory: string): string {
  return join(directory, 'devices');
}

function recordFile(directory: string): string {
  return join(directory, 'template.json');
}

/** Saves a VM. See `Hypervisor.saveTemplate`. */
export async function saveTemplate(
  deps: { spawner: Spawner },
  vm: QemuVm,
  { key, directory }: { key: string; directory: string },
): Promise<QemuTemplate> {
  if (!vm.record.hotplug || vm.record.placesUsed > 0)
    throw new SkiffError(
      'FAILED_PRECONDITION',
      `The VM ${vm.id} cannot be a template: it must have no devices of its own`,
    );
  await using undo = undoStack();
  try {
    mkdirSync(directory, { mode: 0o700 });
    undo.defer('remove the directory', () => rmSync(directory, { recursive: true, force: true }));
    const memory = openSync(`/proc/${vm.pid}/fd/${memoryFdOfProcess}`, 'r+');
    try {
      await saveDevices(vm.qmp, devicesFile(directory));
      await vm.powerOff(0);
      sealMemoryFile(memory);
      const keeper = startKeeper(deps.spawner, directory, memory);
      undo.defer('end the keeper', () => void signalProcess(keeper, 9));
      const { vcpus, memoryBytes, acceleration } = vm.record;
      const record: TemplateRecord = { version: 1, key, vcpus, memoryBytes, acceleration, keeper };
      replaceFileSync(recordFile(directory), JSON.stringify(record), { durable: false });
      undo.commit();
      return { key, directory, vcpus, memoryBytes, record };
    } finally {
      closeSync(memory);
    }
  } catch (error) {
    throw wrapError(error, `Cannot save the VM ${vm.id} as a template`);
  }
}

async function saveDevices(qmp: Qmp, path: string): Promise<void> {
  await qmp.execute('stop');
  await ignoreShared(qmp);
  const fd = openSync(path, 'wx', 0o600);
  try {
    await qmp.execute('getfd', { fdname: 'devices' }, { fds: [fd] });
  } finally {
    closeSync(fd);
  }
  await qmp.execute('migrate', { uri: 'fd:devices' });
  await migrated(qmp);
}

/** Leaves the memory out of what is saved and restored. Only QMP can set it. */
export async function ignoreShared(qmp: Qmp): Promise<void> {
  const capabilities = [{ capability: 'x-ignore-shared', state: true }];
  await qmp.execute('migrate-set-capabilities', { capabilities });
}

/** Waits for the end of saving or restoring. @throws SkiffError INTERNAL if it failed; DEADLINE_EXCEEDED after 20 s. */
export async function migrated(qmp: Qmp): Promise<void> {
  for (const end = performance.now() + 20_000; performance.now() < end; ) {
    const { status, 'error-desc': reason } = recordOf(await qmp.execute('query-migrate'));
    if (status === 'completed') return;
    if (status === 'failed' || status === 'cancelled')
      throw new SkiffError(
        'INTERNAL',
        `QEMU could not pass on the machine's state: ${String(reason ?? status)}`,
      );
    await sleep(1);
  }
  throw new SkiffError('DEADLINE_EXCEEDED', "QEMU did not pass on the machine's state within 20 s");
}

/** Something that does nothing but to have the memory open. */
function startKeeper(spawner: Spawner, directory: string, memory: number): ProcessIdentity {
  const child = spawner.spawn({
    file: '/usr/bin/tail',
    args: ['-f', '-s', '86400', devicesFile(directory)],
    env: {},
    cwd: '/',
    newSession: true,
    fds: { [memoryFdOfProcess]: memory },
  });
  const identity = identify(child.pid);
  if (identity !== undefined) return identity;
  throw new SkiffError('INTERNAL', 'The keeper of the memory ended at once');
}

/** Opens a template. See `Hypervisor.openTemplate`. */
export function openTemplate(directory: string): QemuTemplate | undefined {
  const record = readTemplate(directory);
  if (record === undefined || !isRunning(record.keeper)) return undefined;
  const { key, vcpus, memoryBytes } = record;
  return { key, directory, vcpus, memoryBytes, record };
}

function readTemplate(directory: string): TemplateRecord | undefined {
  try {
    const record = JSON.parse(readFileSync(recordFile(directory), 'utf8')) as TemplateRecord;
    return record.version === 1 ? record : undefined;
  } catch {
    return undefined; // Never finished.
  }
}

/** A template's memory as a descriptor, which the caller closes. @throws SkiffError NOT_FOUND if its keeper is gone. */
export function openTemplateMemory({ key, record }: QemuTemplate): number {
  const gone = () =>
    new SkiffError('NOT_FOUND', `The template ${key} has lost its memory: its keeper was ended`);
  let fd: number;
  try {
    fd = openSync(`/proc/${record.keeper.pid}/fd/${memoryFdOfProcess}`, 'r+');
  } catch {
    throw gone();
  }
  if (isRunning(record.keeper)) return fd;
  closeSync(fd); // The number was another process's by then.
  throw gone();
}

/** Removes a template. See `Hypervisor.removeTemplate`. */
export async function removeTemplate(directory: string): Promise<void> {
  const recorded = readTemplate(directory)?.keeper;
  const keeper = recorded ?? findKeeper(directory);
  if (keeper !== undefined) signalProcess(keeper, 9);
  for (let waited = 0; keeper !== undefined && isRunning(keeper) && waited < 5000; waited += 5)
    await sleep(5);
  rmSync(directory, { recursive: true, force: true });
}

/** A keeper whose starter died before it wrote the record. */
function findKeeper(directory: string): ProcessIdentity | undefined {
  for (const pid of readdirSync('/proc')) {
    if (!/^\d+$/.test(pid)) continue;
    try {
      const args = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
      if (args[0]?.endsWith('tail') && args.includes(devicesFile(directory))) return identify(Number(pid));
    } catch {
      // Gone meanwhile.
    }
  }
  return undefined;
}
