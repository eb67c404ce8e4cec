/** Where the roots of containers are: `roots/<key>/{upper,work,merged}`. */
import { mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { SkiffError } from '#foundation/base/errors.ts';

/** The directories of one root. */
export interface RootPaths {
  directory: string;
  /** What the container wrote. */
  upper: string;
  /** Overlayfs's own. */
  work: string;
  /** Holds the root's attributes for a read-only view. */
  top: string;
  /** Where the layers are bound with mapped owners, while a root of them is mounted. */
  mapped: string;
  /** Where the root is mounted. */
  merged: string;
}

/** Finds the directories of roots. */
export interface RootLayout {
  paths(key: string): RootPaths;
  /** By the name of its directory. */
  placed(name: string): RootPaths;
  /** Names of all directories there are. */
  names(): string[];
  nameOf(key: string): string;
}

/** @param directory the image store's. */
export function rootLayout(directory: string): RootLayout {
  const roots = join(directory, 'roots');
  mkdirSync(roots, { recursive: true, mode: 0o711 });
  const placed = (name: string) => {
    const own = join(roots, name);
    const at = (part: string) => join(own, part);
    return {
      directory: own,
      upper: at('upper'),
      work: at('work'),
      top: at('top'),
      mapped: at('mapped'),
      merged: at('merged'),
    };
  };
  return {
    nameOf,
    placed,
    paths: (key) => placed(nameOf(key)),
    names: () => readdirSync(roots),
  };
}

/** A key's directory name: `<id>/<n>` becomes `<id>+<n>`. */
function nameOf(key: string): string {
  if (!/^[A-Za-z0-9][A-Za-z0-9_.-]*(?:\/[A-Za-z0-9_.-]+)?$/.test(key) || key.length > 200)
    throw new SkiffError('INVALID_ARGUMENT', `Cannot make a root for "${key}": it is no container id`);
  return key.replace('/', '+');
}
