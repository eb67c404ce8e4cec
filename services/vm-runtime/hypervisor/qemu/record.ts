/** What is on disk of a VM, so that another process finds it: `vm.json` in its directory. */
import { existsSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { SkiffError, wrapError } from '#foundation/base/errors.ts';
import { replaceFileSync } from '#foundation/base/files.ts';
import { identify, isRunning, type ProcessIdentity, signalProcess } from '#foundation/linux/process.ts';

/** The record of a VM. */
export interface VmRecord {
  version: 1;
  hypervisor: 'qemu';
  id: string;
  /** Left out until the process runs: a crash before that is found by the process's arguments. */
  process?: ProcessIdentity;
  vcpus: number;
  memoryBytes: number;
  acceleration: 'kvm' | 'tcg';
  /** Whether the guest's memory can be seen by others (shares), and given back. */
  memory: 'shared' | 'cow';
  hotplug: boolean;
  /** Hot-plug places in use; they are filled in order and never freed. */
  placesUsed: number;
  /** Processes between the guest and its file server, of clones. */
  relays?: ProcessIdentity[];
}

/** Paths within a VM's directory. */
export function vmFiles(directory: string) {
  return {
    record: join(directory, 'vm.json'),
    qmp: join(directory, 'qmp.sock'),
    agent: join(directory, 'agent.sock'),
    consoleSocket: join(directory, 'console.sock'),
    console: join(directory, 'console.log'),
  };
}

/** Replaces the record. It ends with a reboot, so nothing is synced. */
export function saveRecord(directory: string, record: VmRecord): void {
  replaceFileSync(vmFiles(directory).record, JSON.stringify(record), { durable: false });
}

/** Reads the record. @throws SkiffError NOT_FOUND without one; DATA_LOSS for one of another version. */
export function readRecord(directory: string): VmRecord {
  const path = vmFiles(directory).record;
  let record: VmRecord;
  try {
    record = JSON.parse(readFileSync(path, 'utf8')) as VmRecord;
  } catch (error) {
    throw wrapError(error, `Cannot read the record of the VM at "${directory}"`);
  }
  if (record.version === 1) return record;
  throw new SkiffError('DATA_LOSS', `"${path}" was written by another version of Skiff`);
}

/** The argument that names a VM's process: also the crash of its starter leaves it findable. */
export function nameArgument(directory: string): string {
  return `guest=${directory.replaceAll(',', ',,')}`;
}

/** The process of a VM's directory, if it runs. */
export function findProcess(directory: string): ProcessIdentity | undefined {
  const recorded = existsSync(vmFiles(directory).record) ? readRecord(directory).process : undefined;
  if (recorded !== undefined) return isRunning(recorded) ? recorded : undefined;
  const wanted = nameArgument(directory);
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    if (argumentsOf(name).includes(wanted)) return identify(Number(name));
  }
  return undefined;
}

function argumentsOf(pid: string): string[] {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
  } catch {
    return []; // Gone meanwhile.
  }
}

/** Kills what runs of a VM and waits for its end, then removes its directory. Idempotent. */
export async function removeVm(directory: string): Promise<void> {
  const running = findProcess(directory);
  if (running !== undefined) {
    signalProcess(running, 9);
    for (let waited = 0; isRunning(running) && waited < 5000; waited += 5)
      await new Promise((resolve) => setTimeout(resolve, 5));
    if (isRunning(running))
      throw new SkiffError(
        'INTERNAL',
        `Cannot end the VM at "${directory}": process ${running.pid} does not die`,
      );
  }
  rmSync(directory, { recursive: true, force: true });
}
