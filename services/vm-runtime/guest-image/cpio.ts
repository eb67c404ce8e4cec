/** Writes a cpio archive of the kind that the kernel unpacks as its first root ("newc"; initramfs-buffer-format). */

/** One thing in the archive; paths have no leading slash. */
export type ArchiveEntry =
  | { kind: 'directory'; path: string; mode?: number }
  | { kind: 'file'; path: string; mode?: number; content: Uint8Array }
  | { kind: 'link'; path: string; target: string }
  | { kind: 'character-device'; path: string; mode?: number; major: number; minor: number };

const types = { directory: 0o040000, file: 0o100000, link: 0o120000, 'character-device': 0o020000 };
const defaultModes = { directory: 0o755, file: 0o644, link: 0o777, 'character-device': 0o600 };

/** Makes the archive; entries in the order given, so directories come before what is in them. */
export function cpioArchive(entries: readonly ArchiveEntry[]): Buffer {
  const parts: Buffer[] = [];
  entries.forEach((entry, index) => {
    parts.push(...record(entry, index + 1));
  });
  parts.push(...record({ kind: 'file', path: 'TRAILER!!!', mode: 0, content: Buffer.alloc(0) }, 0));
  return Buffer.concat(parts);
}

function record(entry: ArchiveEntry, inode: number): Buffer[] {
  const content = contentOf(entry);
  const mode = types[entry.kind] | (('mode' in entry ? entry.mode : undefined) ?? defaultModes[entry.kind]);
  const device = entry.kind === 'character-device' ? entry : { major: 0, minor: 0 };
  const name = Buffer.from(`${entry.path}\0`);
  const fields = [inode, mode, 0, 0, 1, 0, content.length, 0, 0, device.major, device.minor, name.length, 0];
  const header = `070701${fields.map((field) => field.toString(16).padStart(8, '0')).join('')}`;
  return [padded(Buffer.concat([Buffer.from(header), name])), padded(content)];
}

function contentOf(entry: ArchiveEntry): Buffer {
  if (entry.kind === 'file') return Buffer.from(entry.content);
  return entry.kind === 'link' ? Buffer.from(entry.target) : Buffer.alloc(0);
}

/** Every header with its name, and every content, ends at a multiple of four bytes. */
function padded(bytes: Buffer): Buffer {
  const rest = bytes.length % 4;
  return rest === 0 ? bytes : Buffer.concat([bytes, Buffer.alloc(4 - rest)]);
}
