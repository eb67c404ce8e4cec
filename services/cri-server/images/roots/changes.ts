/**
 * What a container changed in its root, as a layer: the upper directory of overlayfs in a tar, whiteouts and all
 * (image-spec, layer.md). GNU tar writes it, since it knows sparse files, hard links and attributes.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { lstat, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { SkiffError, wrapError } from '#foundation/base/errors.ts';
import { openRoot } from '#foundation/linux/at.ts';
import { runCommand } from '#foundation/linux/command.ts';
import { listXattrsAt } from '#foundation/linux/xattr.ts';
import { opaqueAttribute } from '../unpack/whiteout.ts';

/** Milliseconds that one archive may take. */
const archiveMs = 600_000;

/** What was found in an upper directory; paths are binary strings without a leading slash. */
interface Changes {
  kept: string[];
  deleted: string[];
  /** Folders that hide all that the layers below have in them. */
  opaque: string[];
}

/**
 * Writes the archive. The container should be paused meanwhile.
 *
 * @returns the paths that it deleted: whiteouts in the archive too.
 * @throws SkiffError INTERNAL with what tar said.
 */
export async function saveChanges(upper: string, archive: string): Promise<{ deleted: string[] }> {
  const changes: Changes = { kept: [''], deleted: [], opaque: [] };
  await walk(upper, '', changes);
  const scratch = mkdtempSync(`${archive}-`);
  try {
    await pack(upper, archive, changes.kept, scratch, '-cf');
    const marks = join(scratch, 'marks');
    mkdirSync(marks);
    const names = [
      ...changes.deleted.map((path) => markerOf(path, '.wh.')),
      ...changes.opaque.map((path) => (path === '' ? '.wh..wh..opq' : `${path}/.wh..wh..opq`)),
    ];
    for (const name of names) makeMarker(marks, name);
    if (names.length > 0) await pack(marks, archive, names, scratch, '-rf');
    return { deleted: changes.deleted.map((path) => Buffer.from(path, 'latin1').toString()) };
  } catch (error) {
    throw wrapError(error, `Cannot save what changed in "${upper}"`);
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

async function walk(root: string, path: string, changes: Changes): Promise<void> {
  const folder = bytesOf(root, path);
  if (isOpaque(root, path)) changes.opaque.push(path);
  for (const entry of await readdir(folder, { withFileTypes: true, encoding: 'buffer' })) {
    const name = entry.name.toString('latin1');
    const below = path === '' ? name : `${path}/${name}`;
    if (entry.isCharacterDevice() && (await lstat(bytesOf(root, below))).rdev === 0)
      changes.deleted.push(below);
    else {
      changes.kept.push(below);
      if (entry.isDirectory()) await walk(root, below, changes);
    }
  }
}

function isOpaque(root: string, path: string): boolean {
  using folder = openRoot(root);
  const value = listXattrsAt(folder.fd, path === '' ? '.' : path).get(opaqueAttribute);
  return value?.toString() === 'y';
}

function bytesOf(root: string, path: string): Buffer {
  return Buffer.concat([Buffer.from(`${root}/`), Buffer.from(path, 'latin1')]);
}

function markerOf(path: string, prefix: string): string {
  const slash = path.lastIndexOf('/') + 1;
  return path.slice(0, slash) + prefix + path.slice(slash);
}

function makeMarker(root: string, path: string): void {
  const slash = path.lastIndexOf('/');
  if (slash > 0) mkdirSync(bytesOf(root, path.slice(0, slash)), { recursive: true });
  writeFileSync(bytesOf(root, path), '');
}

async function pack(
  directory: string,
  archive: string,
  paths: readonly string[],
  scratch: string,
  mode: '-cf' | '-rf',
): Promise<void> {
  const list = join(scratch, 'list');
  writeFileSync(list, Buffer.from(paths.map((path) => `./${path}\0`).join(''), 'latin1'));
  const attributes = ['--xattrs', '--xattrs-include=user.*', '--xattrs-include=security.capability'];
  const options = ['--format=pax', '--numeric-owner', '--sparse', '--no-recursion', ...attributes];
  await runCommand({
    file: 'tar',
    args: [mode, archive, ...options, '-C', directory, '--null', '--verbatim-files-from', '-T', list],
    timeoutMs: archiveMs,
  });
}

/** @throws SkiffError FAILED_PRECONDITION where roots are copies: nothing tells there what a container changed. */
export function requireOverlay(overlay: boolean, directory: string): void {
  if (overlay) return;
  throw new SkiffError(
    'FAILED_PRECONDITION',
    `Cannot tell what a container changed: its root is a copy, since overlayfs does not work in ${directory}`,
  );
}
