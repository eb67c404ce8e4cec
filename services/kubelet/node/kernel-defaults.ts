/** Whether the machine is as `failSwapOn` and `protectKernelDefaults` want it. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { SkiffError } from '#foundation/base/errors.ts';
import type { Logger } from '#foundation/base/log.ts';
import type { KubeletConfiguration } from '../configuration/defaults.ts';

/** Kernel parameters that the original's kubelet wants, and sets itself unless `protectKernelDefaults` forbids it. */
const wantedSysctls: [name: string, value: number][] = [
  ['vm/overcommit_memory', 1],
  ['vm/panic_on_oom', 0],
  ['kernel/panic', 10],
  ['kernel/panic_on_oops', 1],
  ['kernel/keys/root_maxkeys', 1_000_000],
  ['kernel/keys/root_maxbytes', 25_000_000],
];

/**
 * Checks the machine. Skiff changes no parameter of the kernel: with `protectKernelDefaults` one that differs is an
 * error, as with the original; else it is left as it is.
 *
 * @param proc `/proc`; another directory for tests.
 * @throws SkiffError FAILED_PRECONDITION saying what to change.
 */
export function checkKernel(
  configuration: Pick<KubeletConfiguration, 'failSwapOn' | 'protectKernelDefaults' | 'memorySwap'>,
  log: Logger,
  proc = '/proc',
): void {
  const swaps = activeSwaps(proc);
  if (swaps.length > 0 && configuration.failSwapOn)
    throw new SkiffError(
      'FAILED_PRECONDITION',
      `running with swap on is not supported, please disable swap or set failSwapOn to false (${swaps.join(', ')} in use)`,
    );
  if (swaps.length > 0 && configuration.memorySwap.swapBehavior !== 'LimitedSwap')
    log.info({ swaps }, 'this machine has swap; pods get none of it (memorySwap.swapBehavior)');
  if (!configuration.protectKernelDefaults) return;
  const wrong = wantedSysctls.flatMap(([name, wanted]) => {
    const actual = Number(text(join(proc, 'sys', name)));
    return actual === wanted
      ? []
      : [`${name.replaceAll('/', '.')}: expected value: ${wanted}, actual value: ${actual}`];
  });
  if (wrong.length === 0) return;
  throw new SkiffError(
    'FAILED_PRECONDITION',
    `invalid kernel flags while protectKernelDefaults is true: ${wrong.join('; ')} (set them with sysctl(8))`,
  );
}

/** The devices and files of /proc/swaps, below its headline. */
function activeSwaps(proc: string): string[] {
  const lines = text(join(proc, 'swaps')).trim().split('\n').slice(1);
  return lines.map((line) => line.split(/\s+/)[0] ?? '').filter((name) => name !== '');
}

function text(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}
