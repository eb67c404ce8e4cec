/**
 * How many files a file server has open: one for each inode that its guest remembers. Who has too many can open no more,
 * and directories seem to have holes in the guest. virtiofsd asks for a million, which is more than a guest's memory
 * holds inodes; where nobody may raise limits (a container without CAP_SYS_RESOURCE) it stays with what it got.
 */
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { processTree } from '#foundation/linux/process.ts';

/** Counts. */
export interface OpenFiles {
  open: number;
  limit: number;
}

/** The process with the files: the server's child, which is locked into the share; itself until there is one. */
export function lockedIn(pid: number): number {
  return processTree(pid).find((each) => each.pid !== pid)?.pid ?? pid;
}

/** Looks. @param pid of `lockedIn`. @returns undefined if the process is gone. */
export function openFilesOf(pid: number): OpenFiles | undefined {
  try {
    const limits = readFileSync(`/proc/${pid}/limits`, 'utf8');
    const limit = Number(/^Max open files\s+(\d+)/m.exec(limits)?.[1] ?? Number.POSITIVE_INFINITY);
    const directory = `/proc/${pid}/fd`;
    // Kernels before 6.2 do not tell the number as the size.
    const open = statSync(directory).size || readdirSync(directory).length;
    return { open, limit };
  } catch {
    return undefined;
  }
}
