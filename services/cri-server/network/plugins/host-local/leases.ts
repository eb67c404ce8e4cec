/**
 * Leases on disk, in the format of the host-local plugin, so that both can work on one directory: a file for
 * each address, named by it, that holds the container's id and the interface; `last_reserved_ip.N` for each
 * range set; and `lock`, locked with flock(2) by whoever changes anything.
 */
import {
  closeSync,
  constants,
  fstatSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  unlinkSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { isIP } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { errnoOf, isSkiffError } from '#foundation/base/errors.ts';
import { lockFile } from '#foundation/linux/file-lock.ts';

/** Who holds an address. */
export interface Holder {
  containerId: string;
  ifName: string;
}

/** Leases of one network, while its lock is held. */
export interface Leases {
  /** Takes an address; false if somebody has it. */
  take(address: string, set: number): boolean;
  /** The address that was taken last from a range set. */
  last(set: number): string | undefined;
  free(address: string): void;
}

/** Runs `work` with the lock of a directory, which is made if absent. `work` is synchronous: it holds up others. */
export async function withLeases<T>(
  directory: string,
  holder: Holder,
  signal: AbortSignal,
  work: (leases: Leases) => T,
): Promise<T> {
  mkdirSync(directory, { recursive: true, mode: 0o755 });
  using _lock = await takeLock(join(directory, 'lock'), signal);
  return work({
    take: (address, set) => take(directory, holder, address, set),
    last: (set) => addressIn(read(join(directory, `last_reserved_ip.${set}`))),
    free: (address) => remove(join(directory, address)),
  });
}

/**
 * Gives back what a holder has.
 *
 * @param known the addresses it was given; left out to look through the whole directory.
 */
export async function releaseLeases(
  directory: string,
  holder: Holder,
  known: readonly string[] | undefined,
  signal: AbortSignal,
): Promise<void> {
  const content = contentOf(holder);
  const isHeld = (address: string) => read(join(directory, address))?.trim() === content;
  if (known !== undefined && !known.some(isHeld)) return;
  await withLeases(directory, holder, signal, ({ free }) => {
    for (const address of known ?? leasedAddresses(directory)) if (isHeld(address)) free(address);
  });
}

/** Whether a holder has an address. */
export function holdsLease(directory: string, holder: Holder, address: string): boolean {
  return read(join(directory, address))?.trim() === contentOf(holder);
}

/** Gives back what nobody of `valid` holds. */
export async function collectLeases(
  directory: string,
  valid: readonly Holder[],
  signal: AbortSignal,
): Promise<void> {
  const held = new Set(valid.map(contentOf));
  const nobody = { containerId: '', ifName: '' };
  await withLeases(directory, nobody, signal, ({ free }) => {
    for (const address of leasedAddresses(directory))
      if (!held.has(read(join(directory, address))?.trim() ?? '')) free(address);
  });
}

function leasedAddresses(directory: string): string[] {
  return readdirSync(directory).filter((name) => isIP(name) !== 0);
}

function contentOf({ containerId, ifName }: Holder): string {
  return `${containerId}\r\n${ifName}`;
}

function take(directory: string, holder: Holder, address: string, set: number): boolean {
  let fd: number;
  try {
    fd = openSync(join(directory, address), 'wx', 0o644);
  } catch (error) {
    if (errnoOf(error) === 'EEXIST') return false;
    throw error;
  }
  try {
    writeFileSync(fd, contentOf(holder));
  } finally {
    closeSync(fd);
  }
  writeOver(join(directory, `last_reserved_ip.${set}`), address);
  return true;
}

/** A crash or a full disk may have left half an address: then the search begins at the beginning, as without. */
function addressIn(text: string | undefined): string | undefined {
  return text !== undefined && isIP(text) !== 0 ? text : undefined;
}

/**
 * Writes a file in place. Emptied first, ext4 would wait for the disk when it is closed (its option auto_da_alloc),
 * and every pod would.
 */
function writeOver(path: string, text: string): void {
  const fd = openSync(path, constants.O_RDWR | constants.O_CREAT, 0o644);
  try {
    writeSync(fd, text, 0);
    if (fstatSync(fd).size > text.length) ftruncateSync(fd, text.length);
  } finally {
    closeSync(fd);
  }
}

/** The executed plugin waits in flock(2); this process must not, and asks again. */
async function takeLock(path: string, signal: AbortSignal): Promise<Disposable> {
  for (;;) {
    try {
      return lockFile(path, 'Another change of leases');
    } catch (error) {
      if (!isSkiffError(error, 'ALREADY_EXISTS')) throw error;
      await sleep(2, undefined, { signal });
    }
  }
}

function read(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined; // No such lease.
  }
}

function remove(path: string): void {
  try {
    unlinkSync(path);
  } catch (error) {
    if (errnoOf(error) !== 'ENOENT') throw error;
  }
}
