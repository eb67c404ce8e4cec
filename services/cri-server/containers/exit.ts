/** What happens when a container's process has ended: its state is put down, clients are told. */

import type { PodRuntime } from '#contracts/oci/pod-runtime.ts';
import type { CgroupLayout } from '#foundation/linux/cgroups.ts';
import { cgroupProcesses, killCgroup, parseFlatKeyed, readCgroup } from '#foundation/linux/cgroups.ts';
import type { Core } from './deps.ts';
import type { ObservedExit } from './exits.ts';
import { type Exited, type ExitReason, hasProcess } from './lifecycle.ts';
import type { Container } from './table.ts';

/** Takes note of an exit; one that comes while the container is being started waits for that. */
export function observeExit(core: Core, id: string, exit: ObservedExit): void {
  const container = core.table.all().find((one) => one.id === id);
  if (container === undefined) return;
  if (container.starting) container.pendingExit = () => applyExit(core, container, exit);
  else applyExit(core, container, exit);
}

/** Moves a container to `exited`. */
export function applyExit(core: Core, container: Container, exit: ObservedExit): void {
  const { life } = container.record;
  if (!hasProcess(life)) return;
  try {
    core.table.advance(container, exitedLife(core, container, exit));
  } catch (error) {
    // The store's disk may be full: memory must say that it ended, and the next start reads the exit file again.
    core.log.error({ container: container.id, error }, 'the exit of a container could not be recorded');
    container.record = { ...container.record, life: exitedLife(core, container, exit) };
  }
  container.ended.resolve();
  core.emit('stopped', container);
  if (container.record.sharesPids) void endRest(core, container);
}

/** The state of a container that ended so. */
function exitedLife(
  core: Pick<Core, 'host' | 'runtimes'>,
  { id, record }: Pick<Container, 'id' | 'record'>,
  exit: ObservedExit,
): Exited {
  const exitCode = exit.exitCode ?? 255;
  const startedAt = record.life.phase === 'running' ? record.life.startedAt : 0n;
  const { finishedAt } = exit;
  const reason = reasonOf(exit, () => oomKilled(core, id, record));
  const message = exit.exitCode === undefined ? 'it ended, but nobody saw how: its monitor was gone' : '';
  // An exit file's time comes from the kernel's coarse clock, which may lag some milliseconds.
  const finished = finishedAt > startedAt ? finishedAt : startedAt + 1n;
  return { phase: 'exited', startedAt, finishedAt: finished, exitCode, reason, message };
}

function reasonOf({ exitCode }: ObservedExit, killedForMemory: () => boolean): ExitReason {
  if (exitCode === undefined) return 'Unknown';
  if (exitCode === 0) return 'Completed';
  return killedForMemory() ? 'OOMKilled' : 'Error';
}

/** A container in a VM is in a cgroup of that VM's kernel. */
function oomKilled(
  { host, runtimes }: Pick<Core, 'host' | 'runtimes'>,
  id: string,
  { runtime, cgroupPath }: Container['record'],
): boolean {
  const pods = podsOf(runtimes, runtime);
  return pods === undefined ? oomKills(host.cgroups, cgroupPath) > 0n : pods.oomKilled(id);
}

/** A runtime of an earlier run may be missing now. */
function podsOf(runtimes: Core['runtimes'], name: string): PodRuntime | undefined {
  try {
    return runtimes.driver(name).pods;
  } catch {
    return undefined;
  }
}

/** How many processes of a group the kernel killed for want of memory. The group lives until the container is removed. */
export function oomKills(layout: CgroupLayout, path: string): bigint {
  const file = layout.mode === 'unified' ? 'memory.events' : 'memory.oom_control';
  return parseFlatKeyed(readCgroup(layout, 'memory', path, file) ?? '').get('oom_kill') ?? 0n;
}

/** The end of PID 1 ends a PID namespace; where it is shared, the others of the container are ended here. */
async function endRest(core: Core, container: Container): Promise<void> {
  const { cgroups } = core.host;
  if (cgroupProcesses(cgroups, container.record.cgroupPath).length === 0) return;
  await killCgroup(cgroups, container.record.cgroupPath, AbortSignal.timeout(10_000)).catch(
    (error: unknown) => {
      core.log.warn(
        { container: container.id, error },
        'processes of an ended container could not be killed',
      );
    },
  );
}
