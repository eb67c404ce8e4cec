/**
 * The directory that a layer is unpacked into: finds and makes the folder of each entry, and puts one thing
 * in place of another. Everything goes through directory descriptors resolved in the layer's root, so that
 * no name and no link in an archive leads out of it.
 */
import { closeSync } from 'node:fs';
import { isSkiffError, SkiffError } from '#foundation/base/errors.ts';
import {
  chmodAt,
  FileType,
  makeDirectoryAt,
  maxPathBytes,
  openDirectoryInRoot,
  printableName,
  type StatAt,
  statAt,
  unlinkAt,
} from '#foundation/linux/at.ts';
import { removeTreeAt } from './remove-tree.ts';

/** A place in the tree: an open folder (owned by the tree) and a name in it. */
export interface Place {
  folder: number;
  /** `.` for the root itself. */
  base: string;
  /** The cleaned path from the root; empty for the root itself. */
  path: string;
}

/** A tree being made. */
export interface Tree extends Disposable {
  readonly root: number;
  /**
   * Where `name` belongs; missing folders are made and noted as implied.
   *
   * @throws SkiffError INVALID_ARGUMENT if it lies outside the layer, or in something that is no folder.
   */
  place(name: string): Place;
  /**
   * Calls `use` with where an existing `name` is; makes nothing.
   *
   * @throws SkiffError INVALID_ARGUMENT if it lies outside the layer, NOT_FOUND if its folder is not there.
   */
  withExisting<T>(name: string, use: (place: Place) => T): T;
  /** What is at a place now. */
  stat(place: Place): StatAt | undefined;
  /** Removes whatever is at a place, with all that is below. */
  clear(place: Place): void;
  /** Notes that a folder has an entry of its own. */
  declared(place: Place): void;
  /** Notes that the layer hides everything below it. */
  setOpaqueRoot(): void;
  isOpaqueRoot(): boolean;
  /** Folders that were made without an entry of their own: they take after the layers below. */
  implied(): string[];
}

/** Opens the tree at `root`, a descriptor of an empty directory that stays the caller's. */
export function openTree(root: number): Tree {
  const implied = new Set<string>();
  let opaqueRoot = false;
  let cached: { path: string; fd: number } | undefined;
  const forget = () => {
    if (cached !== undefined) closeSync(cached.fd);
    cached = undefined;
  };
  const openFolder = (path: string): number => {
    if (path === '') return root;
    if (cached?.path === path) return cached.fd;
    const fd = openDirectoryInRoot(root, path);
    forget();
    cached = { path, fd };
    return fd;
  };
  const makeFolders = (path: string): number => {
    try {
      return openFolder(path);
    } catch (error) {
      if (!isSkiffError(error) || error.errno !== 'ENOENT') throw notAFolder(path, error);
    }
    const { parent, base } = split(path);
    const folder = makeFolders(parent);
    const there = statAt(folder, base);
    // A link that leads nowhere: the folder is made where it would lead, as tar does not.
    if (there !== undefined) throw notAFolder(path, undefined);
    makeDirectoryAt(folder, base);
    chmodAt(folder, base, 0o755); // Whatever the umask is.
    implied.add(path);
    return openFolder(path);
  };
  return {
    root,
    place: (name) => {
      const path = cleanPath(name);
      if (path === '') return { folder: root, base: '.', path };
      const { parent, base } = split(path);
      return { folder: makeFolders(parent), base, path };
    },
    withExisting: (name, use) => {
      const path = cleanPath(name);
      if (path === '') return use({ folder: root, base: '.', path });
      const { parent, base } = split(path);
      // A descriptor of its own: the caller may hold a place in the cached folder.
      const folder = openDirectoryInRoot(root, parent);
      try {
        return use({ folder, base, path });
      } finally {
        closeSync(folder);
      }
    },
    stat: ({ folder, base }) => statAt(folder, base),
    clear: ({ folder, base, path }) => {
      const there = statAt(folder, base);
      if (there === undefined) return;
      // The open folder may be what goes, or be reached through a link that goes.
      if ((there.mode & FileType.mask) === FileType.directory) {
        removeTreeAt(folder, base);
        for (const each of implied) if (each === path || each.startsWith(`${path}/`)) implied.delete(each);
      } else unlinkAt(folder, base);
      if (cached?.path !== path.slice(0, path.lastIndexOf('/'))) forget();
    },
    declared: ({ path }) => void implied.delete(path),
    setOpaqueRoot: () => {
      opaqueRoot = true;
    },
    isOpaqueRoot: () => opaqueRoot,
    implied: () => [...implied],
    [Symbol.dispose]: forget,
  };
}

/**
 * Cleans an archive's name: no leading or doubled slashes, no `.`.
 *
 * @throws SkiffError INVALID_ARGUMENT for names with `..` in them, and for names that no path can have.
 */
function cleanPath(name: string): string {
  if (!/(?:^|\/)\.{0,2}(?:\/|$)/.test(name) && name.length < maxPathBytes) return name;
  const parts = name.split('/').filter((part) => part !== '' && part !== '.');
  if (parts.includes('..'))
    throw new SkiffError('INVALID_ARGUMENT', `the entry "${printable(name)}" leads outside of the layer`);
  const path = parts.join('/');
  if (path.length >= maxPathBytes)
    throw new SkiffError('INVALID_ARGUMENT', `the name "${printable(name)}" is longer than Linux allows`);
  return path;
}

function split(path: string): { parent: string; base: string } {
  const slash = path.lastIndexOf('/');
  return { parent: slash < 0 ? '' : path.slice(0, slash), base: path.slice(slash + 1) };
}

function printable(name: string): string {
  return printableName(name.slice(0, 200));
}

function notAFolder(path: string, cause: unknown): SkiffError {
  return new SkiffError('INVALID_ARGUMENT', `"${printable(path)}" has entries below it but is no folder`, {
    cause,
  });
}
