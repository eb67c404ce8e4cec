/** The pause image of containerd's sandboxes: a static program that only waits, as small as the usual one. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type BuiltImage, buildImage } from '../../conformance/cri/images/build.ts';

const source = `
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>
static void stop(int number) { (void)number; _exit(0); }
static void reap(int number) { (void)number; while (waitpid(-1, 0, WNOHANG) > 0) {} }
int main(void) {
  signal(SIGTERM, stop);
  signal(SIGINT, stop);
  signal(SIGCHLD, reap);
  for (;;) pause();
}
`;

/** Compiles and packs it; with a static busybox's sleep where there is no C compiler. */
export function buildPauseImage(): BuiltImage {
  const directory = mkdtempSync('/tmp/skiff-pause-');
  try {
    const program = join(directory, 'pause');
    writeFileSync(`${program}.c`, source);
    execFileSync('gcc', ['-Os', '-static', '-s', '-o', program, `${program}.c`]);
    const content = readFileSync(program);
    return buildImage([[{ path: 'pause', type: 'file', content }]], { Entrypoint: ['/pause'] });
  } catch {
    const content = readFileSync('/bin/busybox');
    return buildImage([[{ path: 'sleep', type: 'file', content }]], { Entrypoint: ['/sleep', '2147483647'] });
  } finally {
    rmSync(directory, { recursive: true });
  }
}
