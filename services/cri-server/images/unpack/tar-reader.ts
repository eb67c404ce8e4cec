/** Reads the entries of a tar archive: ustar, PAX and GNU, with long names, sparse files and attributes. */
import { SkiffError } from '#foundation/base/errors.ts';
import { type PaxRecords, parsePax, parsePaxNumber, parsePaxTime } from './pax.ts';
import {
  checkRegions,
  gnuContinues,
  gnuRegions,
  pax1Regions,
  paxRegions,
  type SparseRegion,
} from './sparse.ts';
import { blockBytes, type Header, isZeroBlock, number, parseHeader } from './tar-header.ts';
import type { TarStream } from './tar-stream.ts';

/** What an entry is. */
export type EntryType = 'file' | 'link' | 'symlink' | 'character' | 'block' | 'directory' | 'fifo';

/** One entry. Names are binary strings, as they stand in the archive: unclean and not to be trusted. */
export interface TarEntry {
  name: string;
  type: EntryType;
  linkName: string;
  /** Permission bits, with setuid, setgid and sticky. */
  mode: number;
  uid: number;
  gid: number;
  /** Nanoseconds since the epoch. */
  mtime: bigint;
  /** Bytes of the file as a reader sees it. */
  size: number;
  /** Bytes of its data in the archive. */
  dataBytes: number;
  /** Where its data belongs, for a sparse file. */
  regions?: SparseRegion[];
  device: { major: number; minor: number };
  xattrs: ReadonlyMap<string, Buffer>;
}

/** Goes from entry to entry. */
export interface TarReader {
  /** The next entry; what was not read of the last one is skipped. Undefined at the end. */
  next(): TarEntry | undefined;
  /** The next piece of the entry's data, valid until the next call; undefined when there is no more. */
  data(): Buffer | undefined;
}

const types: Record<string, EntryType> = {
  '0': 'file',
  '7': 'file',
  S: 'file',
  '1': 'link',
  '2': 'symlink',
  '3': 'character',
  '4': 'block',
  '5': 'directory',
  D: 'directory',
  '6': 'fifo',
};
/** Bytes of a PAX header or a GNU long name; the kernel allows 4096 bytes a path and 64 KiB an attribute. */
const maxExtraBytes = 1024 * 1024;
/** Global PAX records kept. */
const maxGlobals = 1000;
const xattrPrefix = 'SCHILY.xattr.';
const noXattrs: ReadonlyMap<string, Buffer> = new Map();

/** What stood before an entry's own header. */
interface Extras {
  pax: PaxRecords;
  longName?: string;
  longLink?: string;
}

/** Reads `stream` as tar. Calls throw SkiffError DATA_LOSS where the archive is damaged. */
export function tarReader(stream: TarStream): TarReader {
  const globals: PaxRecords = new Map();
  /** Bytes of data and of padding left of the current entry. */
  let data = 0;
  let padding = 0;
  const begin = (bytes: number) => {
    data = bytes;
    padding = paddingOf(bytes);
  };
  const extra = (header: Header): Buffer => {
    if (header.size > maxExtraBytes) throw damaged('an extended header is larger than 1 MiB');
    const bytes = Buffer.from(stream.exactly(header.size));
    stream.skip(paddingOf(header.size));
    return bytes;
  };
  const next = (): TarEntry | undefined => {
    stream.skip(data);
    stream.skip(padding);
    begin(0);
    const extras: Extras = { pax: new Map() };
    for (;;) {
      const block = stream.exactlyOrEnd(blockBytes);
      if (block === undefined || isZeroBlock(block)) return undefined;
      const header = parseHeader(block);
      if (header.type === 'x' || header.type === 'X') extras.pax = parsePax(extra(header));
      else if (header.type === 'g') addGlobals(globals, parsePax(extra(header)));
      else if (header.type === 'L') extras.longName = untilNul(extra(header));
      else if (header.type === 'K') extras.longLink = untilNul(extra(header));
      else if (header.type === 'V') stream.skip(header.size + paddingOf(header.size));
      else {
        const gnuMap = header.type === 'S' ? readGnuMap(stream, block) : undefined;
        return entryOf(header, extras, gnuMap);
      }
    }
  };
  const entryOf = (header: Header, extras: Extras, gnuMap: GnuMap | undefined): TarEntry => {
    const entry = describe(header, extras, globals, gnuMap);
    begin(entry.dataBytes);
    const isPax1 = (extras.pax.get('GNU.sparse.major') ?? '0') === '1';
    if (isPax1) {
      entry.regions = pax1Regions(() => readLine());
      // The map is padded to a block, so that what is left is data.
      const mapBytes = entry.dataBytes - data;
      const pad = paddingOf(mapBytes);
      if (pad > data) throw damaged('a sparse map is longer than its entry');
      stream.skip(pad);
      data -= pad;
      entry.dataBytes = data;
    }
    if (entry.regions !== undefined) checkRegions(entry.regions, entry.size, entry.dataBytes);
    return entry;
  };
  const readLine = (): string => {
    let line = '';
    for (;;) {
      if (data === 0 || line.length > 20) throw damaged('a sparse map is not of lines');
      data -= 1;
      const byte = stream.exactly(1)[0] ?? 0;
      if (byte === 0x0a) return line;
      line += String.fromCharCode(byte);
    }
  };
  return {
    next,
    data: () => {
      if (data === 0) return undefined;
      const bytes = stream.some(data);
      data -= bytes.length;
      return bytes;
    },
  };
}

interface GnuMap {
  regions: SparseRegion[];
  realSize: number;
}

function readGnuMap(stream: TarStream, block: Buffer): GnuMap {
  const realSize = number(block, 483, 12, 'size');
  const regions = gnuRegions(block, 386, 4);
  let more = gnuContinues(block, 482);
  while (more) {
    const extension = stream.exactly(blockBytes);
    regions.push(...gnuRegions(extension, 0, 21));
    if (regions.length > 1_000_000) throw damaged('a sparse file has too many regions');
    more = gnuContinues(extension, 504);
  }
  return { regions, realSize };
}

function describe(header: Header, extras: Extras, globals: PaxRecords, gnu: GnuMap | undefined): TarEntry {
  // An empty value takes back a global record: what the header says counts again.
  const get = (key: string): string | undefined => (extras.pax.get(key) ?? globals.get(key)) || undefined;
  const numeric = (key: string, otherwise: number) => {
    const value = get(key);
    return value === undefined ? otherwise : parsePaxNumber(value, key);
  };
  const name = get('GNU.sparse.name') ?? get('path') ?? extras.longName ?? header.name;
  const linkName = get('linkpath') ?? extras.longLink ?? header.linkName;
  if (name.includes('\0') || linkName.includes('\0')) throw damaged('a name has a NUL in it');
  const type = typeOf(header, name);
  const mtime = get('mtime');
  const dataBytes = type === 'file' ? numeric('size', header.size) : 0;
  if (dataBytes < 0) throw damaged('a size is negative');
  const map = extras.pax.get('GNU.sparse.map'); // Empty for a file that is one hole.
  return {
    name,
    linkName,
    type,
    mode: header.mode & 0o7777,
    uid: ownerId(numeric('uid', header.uid)),
    gid: ownerId(numeric('gid', header.gid)),
    mtime: mtime === undefined ? BigInt(header.mtime) * 1_000_000_000n : parsePaxTime(mtime),
    size: gnu?.realSize ?? numeric('GNU.sparse.realsize', numeric('GNU.sparse.size', dataBytes)),
    dataBytes,
    device: { major: header.deviceMajor, minor: header.deviceMinor },
    xattrs: xattrsOf(extras.pax, globals),
    ...(gnu === undefined ? {} : { regions: gnu.regions }),
    ...(map === undefined || type !== 'file' ? {} : { regions: paxRegions(map) }),
  };
}

function typeOf(header: Header, name: string): EntryType {
  // Before ustar a directory was told by its slash.
  if (header.type === '0' && name.endsWith('/')) return 'directory';
  const type = types[header.type];
  if (type === undefined) throw damaged(`an entry has the unknown type ${JSON.stringify(header.type)}`);
  return type;
}

/** The kernel's ids have 32 bits, and the last one means "none". */
function ownerId(id: number): number {
  if (id < 0 || id >= 0xffffffff) throw damaged('a user or group id is larger than Linux has');
  return id;
}

function xattrsOf(pax: PaxRecords, globals: PaxRecords): ReadonlyMap<string, Buffer> {
  if (pax.size === 0 && globals.size === 0) return noXattrs;
  const found = new Map<string, Buffer>();
  for (const [key, value] of [...globals, ...pax])
    if (key.startsWith(xattrPrefix)) found.set(key.slice(xattrPrefix.length), Buffer.from(value, 'latin1'));
  return found;
}

function addGlobals(globals: PaxRecords, records: PaxRecords): void {
  for (const [key, value] of records) {
    if (value === '') globals.delete(key);
    else globals.set(key, value);
  }
  if (globals.size > maxGlobals) throw damaged('it has too many global PAX records');
}

function untilNul(data: Buffer): string {
  const nul = data.indexOf(0);
  return data.toString('latin1', 0, nul < 0 ? data.length : nul);
}

function paddingOf(bytes: number): number {
  return (blockBytes - (bytes % blockBytes)) % blockBytes;
}

function damaged(why: string): SkiffError {
  return new SkiffError('DATA_LOSS', `the tar archive is damaged: ${why}`);
}
