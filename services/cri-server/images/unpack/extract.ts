/**
 * Unpacks one layer into a directory of its own, in the form that overlayfs takes: whiteouts become
 * character devices 0/0 and opaque folders get an attribute (kernel: Documentation/filesystems/overlayfs).
 * Layers: https://github.com/opencontainers/image-spec/blob/main/layer.md
 */
import { closeSync, fchmodSync, fchownSync, ftruncateSync, writeSync } from 'node:fs';
import { isSkiffError, SkiffError, wrapError } from '#foundation/base/errors.ts';
import {
  chmodAt,
  chownAt,
  createFileAt,
  FileType,
  linkAt,
  makeDirectoryAt,
  makeNodeAt,
  printableName,
  setTimes,
  setTimesAt,
  symlinkAt,
} from '#foundation/linux/at.ts';
import { setXattr, setXattrAt } from '#foundation/linux/xattr.ts';
import type { SparseRegion } from './sparse.ts';
import type { TarEntry, TarReader } from './tar-reader.ts';
import { openTree, type Place, type Tree } from './tree.ts';
import { classify, isMark, isWhiteout, setOpaque, unpackWhiteout } from './whiteout.ts';

/** What was unpacked. */
export interface Extracted {
  entries: number;
  /** Folders that came without an entry: paths as binary strings. They take after the layers below. */
  implied: string[];
  /** Whether the archive said what the root itself is like. */
  hasRoot: boolean;
  /** What it takes on disk, about: files in whole blocks, and one block for each folder. */
  diskBytes: number;
  inodes: number;
  /** Whether the layer hides everything below it: overlayfs does not look for that on a root. */
  opaqueRoot: boolean;
}

/**
 * Unpacks all entries of `reader` into the open, empty directory `root`.
 *
 * @throws SkiffError INVALID_ARGUMENT naming an entry that cannot be unpacked, DATA_LOSS for a damaged archive,
 *   RESOURCE_EXHAUSTED for too many entries.
 */
export function extract(reader: TarReader, root: number, maxEntries: number): Extracted {
  using tree = openTree(root);
  const folderTimes = new Map<string, bigint>();
  let entries = 0;
  let hasRoot = false;
  let diskBytes = 0;
  for (let entry = reader.next(); entry !== undefined; entry = reader.next()) {
    entries += 1;
    if (entries > maxEntries)
      throw new SkiffError('RESOURCE_EXHAUSTED', `it has more than ${maxEntries} entries`);
    try {
      const path = unpackEntry(tree, entry, reader);
      if (entry.type === 'directory' && path !== undefined) folderTimes.set(path, entry.mtime);
      hasRoot ||= path === '';
      diskBytes += entry.type === 'directory' ? blockBytes : inBlocks(entry.dataBytes);
    } catch (error) {
      throw atEntry(entry, error);
    }
  }
  const implied = tree.implied();
  // Made without an entry: no time is right, but always the same one is repeatable.
  for (const path of hasRoot ? implied : ['', ...implied]) folderTimes.set(path, 0n);
  setFolderTimes(tree, folderTimes);
  const inodes = entries + implied.length;
  return { entries, implied, hasRoot, diskBytes, inodes, opaqueRoot: tree.isOpaqueRoot() };
}

/** Bytes of a block of ext4 and xfs. */
const blockBytes = 4096;

function inBlocks(bytes: number): number {
  return Math.ceil(bytes / blockBytes) * blockBytes;
}

/** @returns the cleaned path, or undefined for a whiteout. */
function unpackEntry(tree: Tree, entry: TarEntry, reader: TarReader): string | undefined {
  const kind = classify(entry.name);
  if (kind === 'ignored') return undefined;
  const place = tree.place(entry.name);
  if (kind !== 'plain') {
    unpackWhiteout(tree, place, kind);
    return undefined;
  }
  if (place.path !== '') make[entry.type](tree, place, entry, reader);
  else if (entry.type === 'directory') setAttributes(place, entry);
  else throw new SkiffError('INVALID_ARGUMENT', 'the root of a layer can only be a folder');
  return place.path;
}

type Maker = (tree: Tree, place: Place, entry: TarEntry, reader: TarReader) => void;

/** How each type of entry is made. */
const make: Record<TarEntry['type'], Maker> = {
  file: (tree, place, entry, reader) => {
    const fd = replacing(tree, place, () => createFileAt(place.folder, place.base));
    try {
      writeData(fd, entry, reader);
      fchownSync(fd, entry.uid, entry.gid);
      // After the owner: a change of owner clears setuid bits and capabilities.
      fchmodSync(fd, entry.mode);
      for (const [name, value] of entry.xattrs) setAttribute(entry, name, value, fd);
      setTimes(fd, entry.mtime);
    } finally {
      closeSync(fd);
    }
  },
  directory: (tree, place, entry) => {
    const there = tree.stat(place);
    const isDirectory = there !== undefined && (there.mode & FileType.mask) === FileType.directory;
    if (!isDirectory) {
      const hides = there !== undefined && isWhiteout(place.folder, place.base, there);
      tree.clear(place);
      makeDirectoryAt(place.folder, place.base, 0o700);
      // A folder in place of a whiteout must go on hiding what the layers below have.
      if (hides) setOpaque(place);
    }
    setAttributes(place, entry);
    tree.declared(place);
  },
  symlink: (tree, place, entry) => {
    replacing(tree, place, () => symlinkAt(entry.linkName, place.folder, place.base));
    chownAt(place.folder, place.base, entry.uid, entry.gid);
    for (const [name, value] of entry.xattrs) setAttribute(entry, name, value, place);
    setTimesAt(place.folder, place.base, entry.mtime);
  },
  link: (tree, place, entry) => unpackLink(tree, place, entry),
  character: (tree, place, entry) => makeSpecial(tree, place, entry, FileType.character),
  block: (tree, place, entry) => makeSpecial(tree, place, entry, FileType.block),
  fifo: (tree, place, entry) => makeSpecial(tree, place, entry, FileType.fifo),
};

function unpackLink(tree: Tree, place: Place, entry: TarEntry): void {
  const named = `the hard link's target "${printableName(entry.linkName)}"`;
  const link = (target: Place): void => {
    if (target.path === place.path) return;
    const there = tree.stat(target);
    if (there === undefined) throw new SkiffError('INVALID_ARGUMENT', `${named} is not in this layer`);
    if ((there.mode & FileType.mask) === FileType.directory)
      throw new SkiffError('INVALID_ARGUMENT', `${named} is a folder`);
    replacing(tree, place, () => linkAt(target.folder, target.base, place.folder, place.base));
  };
  try {
    tree.withExisting(entry.linkName, link);
  } catch (error) {
    if (!isSkiffError(error) || error.errno !== 'ENOENT') throw error;
    throw new SkiffError('INVALID_ARGUMENT', `${named} is not in this layer`, { cause: error });
  }
}

function makeSpecial(tree: Tree, place: Place, entry: TarEntry, type: number): void {
  replacing(tree, place, () => makeNodeAt(place.folder, place.base, type | 0o600, entry.device));
  setAttributes(place, entry);
}

/** Runs `create`, after taking away what is in its place if something is. */
function replacing<T>(tree: Tree, place: Place, create: () => T): T {
  try {
    return create();
  } catch (error) {
    if (!isSkiffError(error, 'ALREADY_EXISTS')) throw error;
  }
  tree.clear(place);
  return create();
}

function setAttributes(place: Place, entry: TarEntry): void {
  chownAt(place.folder, place.base, entry.uid, entry.gid);
  // After the owner: a change of owner clears setuid bits and capabilities.
  chmodAt(place.folder, place.base, entry.mode);
  for (const [name, value] of entry.xattrs) setAttribute(entry, name, value, place);
  setTimesAt(place.folder, place.base, entry.mtime);
}

function writeData(fd: number, entry: TarEntry, reader: TarReader): void {
  if (entry.regions !== undefined) {
    writeRegions(fd, entry.regions, reader);
    ftruncateSync(fd, entry.size);
    return;
  }
  for (let bytes = reader.data(); bytes !== undefined; bytes = reader.data()) writeAll(fd, bytes, null);
}

/** Writes each stretch of data where it belongs; what lies between stays a hole. */
function writeRegions(fd: number, regions: SparseRegion[], reader: TarReader): void {
  let piece = reader.data();
  for (const { offset, length } of regions) {
    for (let done = 0; done < length; ) {
      if (piece === undefined) return;
      const bytes = piece.subarray(0, length - done);
      writeAll(fd, bytes, offset + done);
      done += bytes.length;
      // A piece is valid until the next is asked for.
      piece = bytes.length < piece.length ? piece.subarray(bytes.length) : reader.data();
    }
  }
}

function writeAll(fd: number, bytes: Uint8Array, position: number | null): void {
  for (let done = 0; done < bytes.length; )
    done += writeSync(fd, bytes, done, bytes.length - done, position === null ? null : position + done);
}

/**
 * Sets one attribute, unless it is one that an image must not bring: overlayfs's own would change how the
 * layers are put together, and SELinux labels are the host's to give. What the file system or the kind of
 * file cannot hold is left out, as other runtimes do.
 */
function setAttribute(entry: TarEntry, name: string, value: Buffer, at: Place | number): void {
  if (isMark(name) || name === 'security.selinux') return;
  try {
    if (typeof at === 'number') setXattr(at, name, value);
    else setXattrAt(at.folder, at.base, name, value);
  } catch (error) {
    const errno = isSkiffError(error) ? error.errno : undefined;
    const isOdd = entry.type !== 'file' && entry.type !== 'directory';
    if (errno === 'EOPNOTSUPP' || errno === 'ENOTSUP' || (errno === 'EPERM' && isOdd)) return;
    throw error;
  }
}

function setFolderTimes(tree: Tree, times: Map<string, bigint>): void {
  for (const [path, time] of times) {
    try {
      tree.withExisting(path, (place) => {
        const there = tree.stat(place);
        // Something else may have come in its place since.
        if (there !== undefined && (there.mode & FileType.mask) === FileType.directory)
          setTimesAt(place.folder, place.base, time);
      });
    } catch (error) {
      if (!isSkiffError(error) || (error.errno !== 'ENOENT' && error.errno !== 'ENOTDIR')) throw error;
    }
  }
}

function atEntry(entry: TarEntry, error: unknown): SkiffError {
  return wrapError(error, `entry "${printableName(entry.name.slice(0, 200))}"`);
}
