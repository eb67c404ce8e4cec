/**
 * Programs in sealed memory: runc and crun refuse to run from a file that a container could write to through
 * /proc/self/exe (CVE-2019-5736), so at each start they copy themselves, mount and unmount the copy read-only, and start
 * anew from there: 3 ms, and a wait for an RCU grace period on a busy machine. A program that runs from memory whose
 * seals are all set (memfd_create(2), fcntl(2) "File Sealing") is what they make as a last resort, and they go on at once.
 */
import { closeSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeSync } from 'node:fs';
import { basename, join } from 'node:path';
import { createMemoryFile, sealMemoryFile } from './memory-file.ts';

/** A program in sealed memory. */
export interface SealedProgram extends Disposable {
  /** Where it can be started from as long as this process lives and it is not disposed. */
  readonly path: string;
}

/**
 * Copies a program into sealed memory.
 *
 * @param program its path.
 * @param directory where a link of the program's name is made; replaced if it is there.
 * @throws SkiffError with the system call that failed.
 */
export function sealProgram(program: string, directory: string): SealedProgram {
  const content = readFileSync(program);
  const name = basename(program);
  const fd = createMemoryFile(name, content.length);
  const path = join(directory, name);
  try {
    for (let at = 0; at < content.length; ) at += writeSync(fd, content, at, content.length - at, at);
    sealMemoryFile(fd);
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    rmSync(path, { force: true });
    symlinkSync(`/proc/${process.pid}/fd/${fd}`, path);
  } catch (error) {
    closeSync(fd);
    throw error;
  }
  return {
    path,
    [Symbol.dispose]: () => {
      rmSync(path, { force: true });
      closeSync(fd);
    },
  };
}
