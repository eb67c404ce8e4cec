/** What a bench or the conformance suite needs of a CRI runtime that it started itself. */
import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { type CriClient, connectCri } from '#contracts/cri/client.ts';
import { messageOf } from '#foundation/base/errors.ts';

/** A CRI runtime with state of its own under /tmp. */
export interface Peer extends AsyncDisposable {
  /** `skiff`, `containerd`. */
  readonly name: string;
  /** `unix:///tmp/...`. */
  readonly endpoint: string;
  /** The server's process id. */
  readonly pid: number;
  /** Its directory; everything it keeps is below. */
  readonly directory: string;
  /** Process ids of the server and of every helper that it runs for pods. */
  processes(): number[];
}

/** Waits until the server answers Version. @throws what it last failed with, and the end of its log. */
export async function waitReady(endpoint: string, log: string, alive: () => boolean): Promise<void> {
  let last: unknown;
  for (let attempt = 0; attempt < 300 && alive(); attempt += 1) {
    using client = connectCri(endpoint);
    try {
      await client.runtime.version({}, { timeoutMs: 1000 });
      await client.images.listImages({}, { timeoutMs: 5000 });
      return;
    } catch (error) {
      last = error;
      await sleep(100);
    }
  }
  throw new Error(`${endpoint} does not answer: ${messageOf(last)}\n${tail(log)}`);
}

function tail(path: string): string {
  try {
    return readFileSync(path, 'utf8').split('\n').slice(-30).join('\n');
  } catch {
    return '';
  }
}

/** Stops and removes all pods of a runtime. */
export async function removeAllPods({ runtime }: CriClient): Promise<void> {
  const { items } = await runtime.listPodSandbox({});
  for (const { id } of items) {
    await runtime.stopPodSandbox({ podSandboxId: id }, { timeoutMs: 30_000 }).catch(() => {});
    await runtime.removePodSandbox({ podSandboxId: id }, { timeoutMs: 30_000 }).catch(() => {});
  }
}

/** The command lines of all processes, by process id. */
export function commandLines(): Map<number, string> {
  const found = new Map<number, string>();
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    try {
      found.set(Number(name), readFileSync(`/proc/${name}/cmdline`, 'utf8').replaceAll('\0', ' ').trim());
    } catch {
      // It ended meanwhile.
    }
  }
  return found;
}

/** Proportional set size in bytes (proc_pid_smaps(5)): shared pages count by the share. 0 for ended processes. */
export function proportionalSetSize(pid: number): number {
  try {
    const rollup = readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8');
    return Number(/^Pss:\s+(\d+) kB/m.exec(rollup)?.[1] ?? 0) * 1024;
  } catch {
    return 0;
  }
}
