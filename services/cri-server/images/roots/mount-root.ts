/** Mounts a chain of layers at a root's `merged`, with overlayfs. */
import { closeSync, mkdirSync, openSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { SkiffError } from '#foundation/base/errors.ts';
import { bindIdMapped } from '#foundation/linux/id-mapped.ts';
import { bindMount, mount, unmount } from '#foundation/linux/mount.ts';
import type { RootPaths } from './layout.ts';

/** What to mount. */
export interface RootMount {
  paths: RootPaths;
  /** Directories of the layers, topmost first; never empty. */
  lower: string[];
  readOnly: boolean;
  /** A user namespace: owners in the layers are seen as it maps them. */
  userNamespace?: string;
  /** The SELinux label that all files show. */
  label?: string;
}

/** mount(2) copies one page of options, and the last byte must be NUL. */
const maxDataBytes = 4095;

/**
 * Mounts. The directories of `paths` are there.
 *
 * @throws SkiffError with the errno of mount(2); FAILED_PRECONDITION for more layers than fit.
 */
export function mountRoot({ paths, lower, readOnly, userNamespace, label }: RootMount): void {
  mkdirSync(paths.merged, { recursive: true });
  const [only, ...more] = lower;
  // Overlayfs wants two directories at the least; one is shown as it is.
  if (readOnly && only !== undefined && more.length === 0) bindLayer(only, paths.merged, userNamespace);
  else
    withMappedOwners(paths, lower, userNamespace, (layers) =>
      withShortNames(layers, (names) => mountOverlay(paths, overlayOptions(paths, names, readOnly, label))),
    );
}

function bindLayer(layer: string, target: string, userNamespace: string | undefined): void {
  if (userNamespace === undefined) bindMount(layer, target, { readOnly: true });
  else bindIdMapped({ source: layer, target, userNamespace, readOnly: true });
}

/** Options of mount(2) for overlayfs; a label has commas of its own, so it stands in quotes (mount(8), context=). */
export function overlayOptions(
  paths: Pick<RootPaths, 'upper' | 'work'>,
  lower: readonly string[],
  readOnly: boolean,
  label?: string,
): string {
  const writable = readOnly ? '' : `,upperdir=${paths.upper},workdir=${paths.work}`;
  const context = label === undefined ? '' : `,context="${label}"`;
  const data = `lowerdir=${lower.join(':')}${writable}${context}`;
  if (data.length > maxDataBytes)
    throw new SkiffError(
      'FAILED_PRECONDITION',
      `its ${lower.length} layers do not fit into the options of one mount`,
    );
  return data;
}

function mountOverlay(paths: RootPaths, data: string): void {
  mount({ source: 'overlay', target: paths.merged, type: 'overlay', data });
}

/**
 * Binds the folder of all layers with mapped owners while `use` mounts: overlayfs keeps private clones of the
 * layers' mounts, mapping and all (Linux 5.19), so the bind mount itself can go again.
 */
function withMappedOwners(
  { mapped }: RootPaths,
  lower: string[],
  userNamespace: string | undefined,
  use: (layers: string[]) => void,
): void {
  if (userNamespace === undefined) {
    use(lower);
    return;
  }
  const folder = folderOf(lower);
  mkdirSync(mapped, { recursive: true });
  bindIdMapped({ source: folder, target: mapped, userNamespace });
  try {
    use(lower.map((path) => (dirname(path) === folder ? join(mapped, basename(path)) : path)));
  } finally {
    unmount(mapped, { lazy: true });
  }
}

/** The folder that holds all layers. The last is a layer for sure; before the first may stand one of the root's own. */
function folderOf(lower: string[]): string {
  return dirname(lower.at(-1) ?? '');
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
  const folder = folderOf(lower);
  const fd = openSync(folder, 'r');
  try {
    use(lower.map((path) => (dirname(path) === folder ? `/proc/self/fd/${fd}/${basename(path)}` : path)));
  } finally {
    closeSync(fd);
  }
}
