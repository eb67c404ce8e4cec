/**
 * Whiteouts: `.wh.NAME` hides NAME of the layers below, `.wh..wh..opq` all that they have in its folder.
 * They hide nothing of their own layer. See the image specification's layer.md, "Whiteouts".
 */
import { SkiffError } from '#foundation/base/errors.ts';
import { FileType, makeNodeAt, printableName, type StatAt } from '#foundation/linux/at.ts';
import { setXattrAt } from '#foundation/linux/xattr.ts';
import type { Place, Tree } from './tree.ts';

const prefix = '.wh.';
/** Names of AUFS's own bookkeeping, which old images still have. */
const reserved = '.wh..wh.';
const opaque = '.wh..wh..opq';
/** What tells overlayfs that a folder hides those below. */
export const opaqueAttribute = 'trusted.overlay.opaque';

/** What the name of an entry makes of it. */
export type NameKind = 'plain' | 'whiteout' | 'opaque' | 'ignored';

/**
 * Tells what an entry is by its name.
 *
 * @throws SkiffError INVALID_ARGUMENT for things below a whiteout, and for whiteouts of no name, `.` or `..`.
 */
export function classify(name: string): NameKind {
  if (!name.includes(prefix)) return 'plain';
  const parts = name.split('/').filter((part) => part !== '' && part !== '.');
  const base = parts.at(-1) ?? '';
  if (parts.some((part) => part.startsWith(reserved) && part !== opaque)) return 'ignored';
  if (parts.slice(0, -1).some((part) => part.startsWith(prefix)))
    throw new SkiffError('INVALID_ARGUMENT', 'it lies below a whiteout');
  if (base === opaque) return 'opaque';
  if (!base.startsWith(prefix)) return 'plain';
  const hidden = base.slice(prefix.length);
  if (hidden === '' || hidden === '.' || hidden === '..')
    throw new SkiffError('INVALID_ARGUMENT', `it is a whiteout of ${JSON.stringify(printableName(hidden))}`);
  return 'whiteout';
}

/** Puts a whiteout into the tree; `place` is where the marker itself would be. */
export function unpackWhiteout(tree: Tree, place: Place, kind: 'whiteout' | 'opaque'): void {
  if (kind === 'opaque') {
    const folder = place.path.slice(0, -opaque.length).replace(/\/$/, '');
    if (folder === '') tree.setOpaqueRoot();
    else hideBelow(tree, { folder: place.folder, base: '.', path: folder });
    return;
  }
  const base = place.base.slice(prefix.length);
  const hidden: Place = {
    folder: place.folder,
    base,
    path: place.path.slice(0, -place.base.length) + base,
  };
  const there = tree.stat(hidden);
  if (there === undefined) makeNodeAt(hidden.folder, hidden.base, FileType.character);
  // Of the same layer: it stays, and a folder hides what is below it instead of being merged with that.
  else if ((there.mode & FileType.mask) === FileType.directory) hideBelow(tree, hidden);
}

function hideBelow(tree: Tree, place: Place): void {
  setOpaque(place);
  // It takes after nothing any more.
  tree.declared(place);
}

/** Marks a folder opaque. */
export function setOpaque(place: Place): void {
  setXattrAt(place.folder, place.base, opaqueAttribute, Buffer.from('y'));
}

/** Whether a file is overlayfs's form of a whiteout. */
export function isWhiteoutDevice(stat: StatAt): boolean {
  const isCharacter = (stat.mode & FileType.mask) === FileType.character;
  return isCharacter && stat.device.major === 0 && stat.device.minor === 0;
}
