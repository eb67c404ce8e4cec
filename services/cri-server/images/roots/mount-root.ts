/** Mounts a chain of layers at a root's `merged`, with overlayfs. */
import { closeSync, mkdirSync, openSync } from 'node:fs';
import { basename, dirname } from 'node:path';
import { SkiffError } from '#foundation/base/errors.ts';
import { bindMount, mount } from '#foundation/linux/mount.ts';
import type { RootPaths } from './layout.ts';

/** What to mount. */
export interface RootMount {
  paths: RootPaths;
  /** Directories of the layers, topmost first; never empty. */
  lower: string[];
  readOnly: boolean;
}

/** mount(2) copies one page of options, and the last byte must be NUL. */
const maxDataBytes = 4095;

/**
 * Mounts. The directories of `paths` are there.
 *
 * @throws SkiffError with the errno of mount(2); FAILED_PRECONDITION for more layers than fit.
 */
export function mountRoot({ paths, lower, readOnly }: RootMount): void {
  mkdirSync(paths.merged, { recursive: true });
  const [only, ...more] = lower;
  // Overlayfs wants two directories at the least; one is shown as it is.
  if (readOnly && only !== undefined && more.length === 0) bindMount(only, paths.merged, { readOnly: true });
  else withShortNames(lower, (names) => mountOverlay(paths, names, readOnly));
}

function mountOverlay(paths: RootPaths, lower: string[], readOnly: boolean): void {
  const writable = readOnly ? '' : `,upperdir=${paths.upper},workdir=${paths.work}`;
  const data = `lowerdir=${lower.join(':')}${writable}`;
  if (data.length > maxDataBytes)
    throw new SkiffError(
      'FAILED_PRECONDITION',
      `its ${lower.length} layers do not fit into the options of one mount`,
    );
  mount({ source: 'overlay', target: paths.merged, type: 'overlay', data });
}

/**
 * Names that fit: full paths as long as they do, then paths through a descriptor of the folder that holds
 * all layers, which are as short as `/proc/self/fd/20/117`.
 */
function withShortNames(lower: string[], use: (names: string[]) => void): void {
  if (lower.join(':').length < maxDataBytes - 1024) {
    use(lower);
    return;
  }
  // The last is a layer for sure; before the first may stand a directory of the root's own.
  const folder = dirname(lower.at(-1) ?? '');
  const fd = openSync(folder, 'r');
  try {
    use(lower.map((path) => (dirname(path) === folder ? `/proc/self/fd/${fd}/${basename(path)}` : path)));
  } finally {
    closeSync(fd);
  }
}
