/**
 * Whiteouts: `.wh.NAME` hides NAME of the layers below, `.wh..wh..opq` all that they have in its folder.
 * They hide nothing of their own layer. See the image specification's layer.md, "Whiteouts".
 */
import { closeSync, fchmodSync } from 'node:fs';
import { isSkiffError, SkiffError } from '#foundation/base/errors.ts';
import { createFileAt, FileType, makeNodeAt, printableName, type StatAt } from '#foundation/linux/at.ts';
import { listXattrsAt, setXattr, setXattrAt } from '#foundation/linux/xattr.ts';
import type { Place, Tree } from './tree.ts';

const prefix = '.wh.';
/** Names of AUFS's own bookkeeping, which old images still have. */
const reserved = '.wh..wh.';
const opaque = '.wh..wh..opq';
/** What tells overlayfs that a folder hides those below. */
export const opaqueAttribute = 'trusted.overlay.opaque';
/** The same where the file system does not take that, and for whiteouts. */
const plainOpaque = 'user.skiff.opaque';
const plainWhiteout = 'user.skiff.whiteout';

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
  if (there === undefined) makeWhiteout(hidden);
  // Of the same layer: it stays, and a folder hides what is below it instead of being merged with that.
  else if ((there.mode & FileType.mask) === FileType.directory) hideBelow(tree, hidden);
}

function hideBelow(tree: Tree, place: Place): void {
  setOpaque(place);
  // It takes after nothing any more.
  tree.declared(place);
}

/**
 * Makes a whiteout in overlayfs's form. Overlayfs itself, in which a store may lie, lets nobody make those: there it
 * is an empty file with an attribute, which serves for copying as well.
 */
function makeWhiteout({ folder, base }: Place): void {
  try {
    makeNodeAt(folder, base, FileType.character);
  } catch (error) {
    if (!isSkiffError(error) || error.errno !== 'EPERM') throw error;
    const fd = createFileAt(folder, base);
    try {
      setXattr(fd, plainWhiteout, Buffer.from('y'));
      fchmodSync(fd, 0);
    } finally {
      closeSync(fd);
    }
  }
}

/** Marks a folder opaque. */
export function setOpaque({ folder, base }: Place): void {
  try {
    setXattrAt(folder, base, opaqueAttribute, Buffer.from('y'));
  } catch (error) {
    if (!isSkiffError(error) || !['EPERM', 'EOPNOTSUPP', 'ENOTSUP'].includes(error.errno ?? '')) throw error;
    setXattrAt(folder, base, plainOpaque, Buffer.from('y'));
  }
}

/** Whether a folder hides what the layers below have in it. */
export function isOpaque(folder: number, base: string): boolean {
  const attributes = listXattrsAt(folder, base);
  return attributes.has(opaqueAttribute) || attributes.has(plainOpaque);
}

/** Whether a file is a whiteout, in either form. */
export function isWhiteout(folder: number, base: string, stat: StatAt): boolean {
  const type = stat.mode & FileType.mask;
  if (type === FileType.character) return stat.device.major === 0 && stat.device.minor === 0;
  const mayBe = type === FileType.file && stat.size === 0 && (stat.mode & 0o7777) === 0;
  return mayBe && listXattrsAt(folder, base).has(plainWhiteout);
}

/** Whether an attribute is a mark of the store or of overlayfs, and no part of the image. */
export function isMark(name: string): boolean {
  return /^(trusted|user)\.overlay\./.test(name) || name === plainWhiteout || name === plainOpaque;
}
