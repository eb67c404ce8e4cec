/** The virtual machines of this node's pods, as the runtime `skiff-vm` tells of them. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Paths } from '#foundation/base/paths.ts';
import { runCommand } from '#foundation/linux/command.ts';

/** The runtime of pod VMs, beside this program's own. */
export const vmProgram = fileURLToPath(new URL('../../../skiff-vm', import.meta.url));

/** One VM. Sizes in bytes, times in milliseconds since the epoch. */
export interface VmView {
  /** The id of its pod's sandbox. */
  id: string;
  directory: string;
  /** BOOTING, READY, ENDING, ENDED; UNKNOWN if its supervisor cannot be reached. */
  state: string;
  reason: string;
  hypervisor?: string;
  vmmPid?: number;
  supervisorPid?: number;
  vcpus?: number;
  memoryBytes?: number;
  createdAt?: number;
  containers?: number;
  consolePath?: string;
}

/** All VMs of a root; none where there never was one. */
export async function listVms(paths: Paths): Promise<VmView[]> {
  if (!existsSync(join(stateOf(paths), '.pods'))) return [];
  const text = await ask(paths, ['pod', 'list']);
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as VmView);
}

/** The latest of what a VM's kernel wrote to its console. @param id of the pod's sandbox. */
export async function vmConsole(paths: Paths, id: string): Promise<string> {
  return ask(paths, ['pod', 'console', id]);
}

async function ask(paths: Paths, args: readonly string[]): Promise<string> {
  const { stdout } = await runCommand({ file: vmProgram, args: [`--root=${stateOf(paths)}`, ...args] });
  return stdout.toString();
}

/** Where the CRI server has the runtime keep its state. */
function stateOf(paths: Paths): string {
  return join(paths.run, 'runtimes', 'vm');
}
