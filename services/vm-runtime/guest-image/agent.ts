/** Compiles the guest's own programs from `guest/`: PID 1, and what starts containers. */
import { globSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { runCommand } from '#foundation/linux/command.ts';

/** Where the sources are. */
export const agentSources: string = fileURLToPath(new URL('../../../guest', import.meta.url));

/** How every C file of the guest is compiled; tests use the same. */
export const agentFlags: readonly string[] = [
  '-std=gnu11',
  '-D_GNU_SOURCE',
  '-Wall',
  '-Wextra',
  '-Werror',
  // Cutting what is too long is what snprintf is used for.
  '-Wno-format-truncation',
];

/** The files of the agent, sorted. */
export function agentFiles(): string[] {
  return globSync(`${agentSources}/*.{c,h}`).sort();
}

/** The files of the program that starts containers, sorted. */
export function launchFiles(): string[] {
  return globSync(`${agentSources}/launch/*.{c,h}`).sort();
}

/** The C library that makes the small programs; the kernel's own headers are not among its. */
const compiler = 'musl-gcc';
const kernelHeaders = ['/usr/include', '/usr/include/x86_64-linux-gnu'].flatMap((path) => [
  '-idirafter',
  path,
]);

/**
 * Makes a static program of the agent at `target`: a hundred kilobytes, where the C library of Debian makes eight times
 * that, all of which each boot would have to unpack.
 *
 * @throws SkiffError INTERNAL with the compiler's words.
 */
export function compileAgent(target: string): Promise<void> {
  return compileSmall(agentFiles(), target);
}

/** Makes the program that starts containers at `target`, as small. @throws SkiffError INTERNAL. */
export function compileLaunch(target: string): Promise<void> {
  return compileSmall(launchFiles(), target);
}

async function compileSmall(files: readonly string[], target: string): Promise<void> {
  const sources = files.filter((path) => path.endsWith('.c'));
  const args = [...agentFlags, ...kernelHeaders, '-Os', '-static', '-s', '-o', target, ...sources];
  await runCommand({ file: compiler, args });
}
