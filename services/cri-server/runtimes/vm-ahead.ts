/**
 * Has VMs made ready before pods want them (`skiff-vm factory refill`): of each size that a pod had lately, a template
 * to clone, or booted VMs that wait. Nothing is made before the first pod of a size; all is taken away at the end.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

/** What is made ready. */
export interface VmAhead {
  /** `template`: a saved VM, of which pods get clones. `cache`: VMs that were booted and wait. */
  kind: 'template' | 'cache';
  /** VMs that wait, of each size: clones of the template, or booted ones. */
  waiting: number;
}

/** The size of a VM. */
export interface VmSize {
  vcpus: number;
  memoryBytes: number;
}

/** What is needed. */
export interface VmAheadDeps {
  /** The runtime's root. */
  stateDirectory: string;
  /** Left out where every VM is booted for its pod. */
  ahead?: VmAhead;
  /** Runs `skiff-vm`. */
  run(args: readonly string[], signal?: AbortSignal): Promise<string>;
  /** Milliseconds that pods have for themselves before something is made ready; 3,000 unless told. */
  restMs?: number;
}

/** Sizes that are kept ready; each costs memory. */
const mostSizes = 2;
const MiB = 1024 * 1024;

/** Makes things ready, later and in the background. */
export interface VmsAhead {
  /** A pod got a VM of this size: the next one should find one ready. Returns at once. */
  used(size: VmSize): void;
  /** Takes away what is ready, also what an earlier process left. */
  close(): Promise<void>;
}

/** Begins with nothing; what an earlier process left is used, or taken away where nothing is wanted. */
export function vmsAhead(deps: VmAheadDeps): VmsAhead {
  const { ahead, stateDirectory, restMs = 3000 } = deps;
  const sizes: string[] = [];
  const closing = new AbortController();
  const { signal } = closing;
  let wanted = false;
  let work: Promise<void> | undefined;
  const drain = async () => {
    if (existsSync(join(stateDirectory, '.cache'))) await deps.run(['factory', 'drain']).catch(() => {});
  };
  const refill = async ({ kind, waiting }: VmAhead) => {
    while (wanted && !signal.aborted) {
      await sleep(restMs, undefined, { signal, ref: false });
      wanted = false;
      const shapes = sizes.flatMap((size) => ['--shape', size]);
      await deps.run(['factory', 'refill', '--kind', kind, '--waiting', String(waiting), ...shapes], signal);
    }
  };
  if (ahead === undefined) work = drain();
  return {
    used({ vcpus, memoryBytes }) {
      if (ahead === undefined || signal.aborted) return;
      const size = `${vcpus}x${memoryBytes / MiB}`;
      const isNew = !sizes.includes(size);
      // A template stays when it was used; a VM that waited is gone.
      if (!isNew && ahead.kind === 'template' && ahead.waiting === 0) return;
      if (isNew && sizes.push(size) > mostSizes) sizes.shift();
      wanted = true;
      // What could not be made ready is booted; the next pod tries anew.
      work ??= refill(ahead)
        .catch(() => void sizes.splice(sizes.indexOf(size), 1))
        .finally(() => {
          work = undefined;
        });
    },
    async close() {
      closing.abort();
      await work;
      if (ahead !== undefined) await drain();
    },
  };
}
