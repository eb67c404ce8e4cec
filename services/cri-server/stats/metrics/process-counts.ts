/** Descriptors, sockets and limits of a container's processes: /proc/PID/fd, /proc/PID/limits. */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';

/** Counts over all processes of a container. */
export interface ProcessCounts {
  descriptors: bigint;
  sockets: bigint;
  /** The first process's soft limit of open files; -1 for none. */
  openFilesLimit?: bigint;
}

/** Counts; processes that end meanwhile are left out. @param first the container's first process. */
export function countProcesses(pids: readonly number[], first: number): ProcessCounts {
  let [descriptors, sockets] = [0n, 0n];
  for (const pid of pids)
    for (const link of linksOf(`/proc/${pid}/fd`)) {
      descriptors += 1n;
      if (link.startsWith('socket:')) sockets += 1n;
    }
  return { descriptors, sockets, openFilesLimit: openFilesLimit(first) };
}

function linksOf(directory: string): string[] {
  try {
    return readdirSync(directory).map((name) => {
      try {
        return readlinkSync(`${directory}/${name}`);
      } catch {
        return '';
      }
    });
  } catch {
    return [];
  }
}

function openFilesLimit(pid: number): bigint | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/limits`, 'utf8');
    const soft = /^Max open files\s+(\S+)/m.exec(text)?.[1];
    return soft === undefined ? undefined : soft === 'unlimited' ? -1n : BigInt(soft);
  } catch {
    return undefined;
  }
}
