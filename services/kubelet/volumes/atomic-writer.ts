/**
 * Writes a volume's files so that a reader sees the old set or the new one, never a mixture: all files go to
 * a new directory, and one rename moves the link `..data` onto it. What the pod sees are links through
 * `..data`. The layout is the original kubelet's, which programs that watch their configuration rely on.
 *
 * ```
 * volume/..2026_11_21_09_30_00.1234567/key   the files
 * volume/..data -> ..2026_11_21_09_30_00.1234567
 * volume/key -> ..data/key
 * ```
 */
import { randomInt } from 'node:crypto';
import {
  chmodSync,
  chownSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { errnoOf, SkiffError } from '#foundation/base/errors.ts';

/** One file of a volume. */
export interface PayloadFile {
  content: Buffer;
  /** Permission bits. */
  mode: number;
  /** Owner; root if left out. */
  uid?: number;
}

/** A volume's files by relative path. */
export type Payload = ReadonlyMap<string, PayloadFile>;

const dataLink = '..data';
const newDataLink = '..data_tmp';

/**
 * Makes the volume in `directory` hold exactly `payload`.
 *
 * @param setPermissions runs on the new files before anybody can see them (ownership by fsGroup).
 * @returns whether anything was changed.
 * @throws SkiffError INVALID_ARGUMENT for a path that is absolute, leaves the volume or is reserved.
 */
export function writePayload(
  directory: string,
  payload: Payload,
  setPermissions: (newDirectory: string) => void = () => {},
  now: Date = new Date(),
): boolean {
  for (const path of payload.keys()) validatePath(path);
  const current = readLink(join(directory, dataLink));
  removeLeftovers(directory, current);
  const changed = current === undefined || !holds(join(directory, current), payload);
  if (changed) {
    const fresh = writeFresh(directory, payload, setPermissions, now);
    symlinkSync(fresh, join(directory, newDataLink));
    renameSync(join(directory, newDataLink), join(directory, dataLink));
  }
  linkNames(directory, payload);
  if (changed && current !== undefined) rmSync(join(directory, current), { recursive: true, force: true });
  return changed;
}

function validatePath(path: string): void {
  const parts = path.split('/');
  const wrong =
    path === '' ||
    path.length > 4096 ||
    parts.some((part) => part === '' || part === '.' || part === '..' || Buffer.byteLength(part) > 255) ||
    path.startsWith('..');
  if (!wrong) return;
  throw new SkiffError(
    'INVALID_ARGUMENT',
    `Cannot write "${path}" into a volume: it must be a relative path without ".", ".." and empty parts, and not begin with ".."`,
  );
}

/** What a crash between two steps left behind: directories and links that `..data` does not name. */
function removeLeftovers(directory: string, current: string | undefined): void {
  for (const name of readdirSync(directory)) {
    if (!name.startsWith('..') || name === dataLink || name === current) continue;
    rmSync(join(directory, name), { recursive: true, force: true });
  }
}

function writeFresh(
  directory: string,
  payload: Payload,
  setPermissions: (newDirectory: string) => void,
  now: Date,
): string {
  const name = `..${stamp(now)}.${randomInt(1e9, 1e10 - 1)}`;
  const fresh = join(directory, name);
  mkdirSync(fresh);
  try {
    chmodSync(fresh, 0o755);
    for (const [path, file] of payload) writeOne(join(fresh, path), file);
    setPermissions(fresh);
    return name;
  } catch (error) {
    rmSync(fresh, { recursive: true, force: true });
    throw error;
  }
}

function writeOne(path: string, file: PayloadFile): void {
  mkdirSync(dirname(path), { recursive: true, mode: 0o755 });
  writeFileSync(path, file.content, { mode: file.mode });
  chmodSync(path, file.mode);
  if (file.uid !== undefined) chownSync(path, file.uid, -1);
}

/** `2026_11_21_09_30_00`, local time as the original's. */
function stamp(now: Date): string {
  const two = (number: number) => String(number).padStart(2, '0');
  const day = [now.getFullYear(), two(now.getMonth() + 1), two(now.getDate())];
  return [...day, two(now.getHours()), two(now.getMinutes()), two(now.getSeconds())].join('_');
}

/** Whether the files below `directory` are exactly those of `payload`: names, bytes, and the mode's own bits. */
function holds(directory: string, payload: Payload): boolean {
  const present = filesBelow(directory);
  if (present.length !== payload.size) return false;
  return present.every((path) => {
    const wanted = payload.get(path);
    if (wanted === undefined) return false;
    const full = join(directory, path);
    const { mode } = lstatSync(full);
    // fsGroup adds bits to the mode asked for, never takes any.
    return (mode & wanted.mode) === wanted.mode && readFileSync(full).equals(wanted.content);
  });
}

function filesBelow(directory: string, prefix = ''): string[] {
  try {
    return readdirSync(join(directory, prefix), { withFileTypes: true }).flatMap((entry) => {
      const path = prefix === '' ? entry.name : `${prefix}/${entry.name}`;
      return entry.isDirectory() ? filesBelow(directory, path) : [path];
    });
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return [];
    throw error;
  }
}

function linkNames(directory: string, payload: Payload): void {
  const wanted = new Set([...payload.keys()].map((path) => path.split('/')[0] ?? path));
  const present = readdirSync(directory).filter((name) => !name.startsWith('..'));
  for (const name of wanted)
    if (!present.includes(name)) symlinkSync(`${dataLink}/${name}`, join(directory, name));
  for (const name of present) if (!wanted.has(name)) rmSync(join(directory, name), { force: true });
}

function readLink(path: string): string | undefined {
  try {
    return readlinkSync(path);
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return undefined;
    throw error;
  }
}
