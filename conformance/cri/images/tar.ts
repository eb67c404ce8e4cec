/** Writes small tar archives in memory (ustar, POSIX.1-1988), for layers of test images. */

/** An entry of an archive. */
export interface TarEntry {
  /** Without a leading slash: `bin/sh`. */
  path: string;
  type: 'file' | 'directory' | 'symlink';
  content?: Buffer | string;
  /** Where a symlink points to. */
  target?: string;
  /** Permission bits; 0755 unless told. */
  mode?: number;
  uid?: number;
  gid?: number;
}

const typeFlags = { file: '0', directory: '5', symlink: '2' };

/** The archive with these entries, in their order. All times are 0, so equal entries give equal bytes. */
export function tarOf(entries: readonly TarEntry[]): Buffer {
  return Buffer.concat([...entries.flatMap(encode), Buffer.alloc(1024)]);
}

function encode(entry: TarEntry): Buffer[] {
  const content = Buffer.from(entry.content ?? '');
  const head = Buffer.alloc(512);
  head.write(entry.path, 0, 100);
  octal(head, entry.mode ?? 0o755, 100, 8);
  octal(head, entry.uid ?? 0, 108, 8);
  octal(head, entry.gid ?? 0, 116, 8);
  octal(head, content.length, 124, 12);
  octal(head, 0, 136, 12);
  head.write(typeFlags[entry.type], 156);
  head.write(entry.target ?? '', 157, 100);
  head.write('ustar\u000000', 257);
  head.fill(' ', 148, 156);
  const sum = head.reduce((total, byte) => total + byte, 0);
  octal(head, sum, 148, 8);
  return [head, content, Buffer.alloc((512 - (content.length % 512)) % 512)];
}

function octal(head: Buffer, value: number, at: number, length: number): void {
  head.write(`${value.toString(8).padStart(length - 1, '0')}\0`, at, 'latin1');
}
