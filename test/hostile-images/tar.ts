/** Writes tar archives entry by entry, right or wrong in every way a test wants. */

/** An entry; what is left out gets a sane value. */
export interface TarSpec {
  name: string | Buffer;
  /** Type flag; `0` for a file. */
  type?: string;
  content?: Buffer | string;
  link?: string;
  mode?: number;
  uid?: number;
  gid?: number;
  mtime?: number;
  major?: number;
  minor?: number;
  /** The size to claim. */
  size?: number;
  /** PAX records for this entry. */
  pax?: Record<string, string | Buffer>;
  /** Changes the finished header; the checksum is made after. */
  patch?: (header: Buffer) => void;
  /** Leave the checksum as `patch` left it. */
  keepChecksum?: boolean;
}

const pad = (bytes: Buffer) => Buffer.concat([bytes, Buffer.alloc((512 - (bytes.length % 512)) % 512)]);

function octal(header: Buffer, value: number, offset: number, length: number): void {
  if (value < 0 || value >= 8 ** (length - 1)) {
    let rest = BigInt(value);
    for (let at = offset + length - 1; at >= offset; at -= 1) {
      header[at] = Number(rest & 0xffn);
      rest >>= 8n;
    }
    header[offset] = (header[offset] ?? 0) | 0x80;
    return;
  }
  header.write(`${value.toString(8).padStart(length - 1, '0')}\0`, offset, 'latin1');
}

/** One entry's header and data, with its PAX header before it if it has records. */
export function entry(spec: TarSpec): Buffer {
  const content = Buffer.from(spec.content ?? '');
  const header = Buffer.alloc(512);
  const name = Buffer.isBuffer(spec.name) ? spec.name : Buffer.from(spec.name);
  name.copy(header, 0, 0, 100);
  octal(header, spec.mode ?? 0o644, 100, 8);
  octal(header, spec.uid ?? 0, 108, 8);
  octal(header, spec.gid ?? 0, 116, 8);
  octal(header, spec.size ?? content.length, 124, 12);
  octal(header, spec.mtime ?? 1_600_000_000, 136, 12);
  header.write(spec.type ?? '0', 156, 'latin1');
  header.write((spec.link ?? '').slice(0, 100), 157, 'latin1');
  header.write('ustar\x0000', 257, 'latin1');
  octal(header, spec.major ?? 0, 329, 8);
  octal(header, spec.minor ?? 0, 337, 8);
  spec.patch?.(header);
  if (spec.keepChecksum !== true) {
    header.fill(' ', 148, 156);
    const sum = header.reduce((total, byte) => total + byte, 0);
    header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  }
  const before = spec.pax === undefined ? [] : [paxHeader(spec.pax)];
  return Buffer.concat([...before, header, pad(content)]);
}

/** A PAX header with records, for the next entry or (type g) for all that follow. */
export function paxHeader(records: Record<string, string | Buffer>, type = 'x'): Buffer {
  const content = Buffer.concat(
    Object.entries(records).map(([key, value]) => {
      const rest = Buffer.concat([Buffer.from(` ${key}=`), Buffer.from(value), Buffer.from('\n')]);
      let length = rest.length;
      while (String(length).length + rest.length !== length) length = String(length).length + rest.length;
      return Buffer.concat([Buffer.from(String(length)), rest]);
    }),
  );
  return entry({ name: 'PaxHeaders/x', type, content });
}

/** A whole archive. */
export function tar(...entries: (TarSpec | Buffer)[]): Buffer {
  const parts = entries.map((each) => (Buffer.isBuffer(each) ? each : entry(each)));
  return Buffer.concat([...parts, Buffer.alloc(1024)]);
}
