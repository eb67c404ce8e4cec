/**
 * Keeps the kernel quick at moving processes between cgroups while somebody is about to. The first move after a quiet
 * time waits for an RCU grace period, 10 to 40 ms (`cgroup_threadgroup_rwsem` in kernel/cgroup/cgroup.c is a
 * percpu_rw_semaphore); those that follow within some 10 ms do not. A process that "moves" into the group in which
 * it is changes nothing and takes the same lock, so one that does it when a request comes in has waited by the
 * time that the OCI runtime, which was started meanwhile, moves the container's process.
 */
import { readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { CgroupLayout } from './cgroups.ts';

/** Milliseconds after which the kernel may be cold again. */
const lastsMs = 8;
/** Milliseconds after which a holder is forgotten unless told: a runtime that hangs must not cost a write for ever. */
const heldAtMostMs = 300;

/** Keeps moves between cgroups quick. */
export interface AttachWarmth {
  /** Keeps it so until the result is disposed, `atMostMs` milliseconds at most; 300 unless told. */
  hold(atMostMs?: number): Disposable;
}

/**
 * Makes one; it does nothing until it is held.
 *
 * @param write writes a file of the cgroup tree; only tests give their own.
 */
export function attachWarmth(
  layout: CgroupLayout,
  write: (path: string, text: string) => Promise<void> = writeFile,
): AttachWarmth {
  const holders = new Set<{ until: number }>();
  let running = false;
  const wanted = () => {
    for (const holder of holders) if (performance.now() > holder.until) holders.delete(holder);
    return holders.size > 0;
  };
  const touch = async () => {
    const path = ownProcesses(layout);
    if (path !== undefined) await write(path, '0');
  };
  const run = async () => {
    running = true;
    while (wanted()) {
      // "0" is the writer: cgroups(7). Whether it may is the kernel's answer after the lock, which is all that counts;
      // and a process that can open no more files works on without.
      await touch().catch(() => {});
      await sleep(lastsMs);
    }
    running = false;
  };
  return {
    hold(atMostMs = heldAtMostMs) {
      const holder = { until: performance.now() + atMostMs };
      holders.add(holder);
      if (!running) void run();
      return { [Symbol.dispose]: () => void holders.delete(holder) };
    },
  };
}

/** The file `cgroup.procs` of the group in which this process is: proc(5), /proc/pid/cgroup. */
function ownProcesses({ v1, v2 }: CgroupLayout): string | undefined {
  for (const line of readFileSync('/proc/self/cgroup', 'utf8').split('\n')) {
    const [, controllers = '', ...rest] = line.split(':');
    const mount = controllers === '' ? v2 : v1.get(controllers.split(',')[0] ?? '');
    // Named hierarchies belong to the init system.
    if (mount !== undefined && !controllers.startsWith('name='))
      return join(mount, rest.join(':'), 'cgroup.procs');
  }
  return undefined;
}
