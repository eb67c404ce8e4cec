/**
 * Header blocks of HTTP/2 (RFC 7541), as far as one call needs them: literals are written, everything is read, also
 * what refers to headers of the same connection before.
 */

/** A header that the static table knows by name (RFC 7541, appendix A); the whole of it where a value is given. */
const staticTable: readonly (readonly [name: string, value?: string])[] = [
  [':authority'],
  [':method', 'GET'],
  [':method', 'POST'],
  [':path', '/'],
  [':path', '/index.html'],
  [':scheme', 'http'],
  [':scheme', 'https'],
  ...['200', '204', '206', '304', '400', '404', '500'].map((code) => [':status', code] as const),
  ['accept-charset'],
  ['accept-encoding', 'gzip, deflate'],
  ...[
    'accept-language',
    'accept-ranges',
    'accept',
    'access-control-allow-origin',
    'age',
    'allow',
    'authorization',
    'cache-control',
    'content-disposition',
    'content-encoding',
    'content-language',
    'content-length',
    'content-location',
    'content-range',
    'content-type',
    'cookie',
    'date',
    'etag',
    'expect',
    'expires',
    'from',
    'host',
    'if-match',
    'if-modified-since',
    'if-none-match',
    'if-range',
    'if-unmodified-since',
    'last-modified',
    'link',
    'location',
    'max-forwards',
    'proxy-authenticate',
    'proxy-authorization',
    'range',
    'referer',
    'refresh',
    'retry-after',
    'server',
    'set-cookie',
    'strict-transport-security',
    'transfer-encoding',
    'user-agent',
    'vary',
    'via',
    'www-authenticate',
  ].map((name) => [name] as const),
];

/** Visible characters by the length of their code in bits; within a length the codes ascend (appendix B). */
const codeLengths: readonly (readonly [bits: number, characters: string])[] = [
  [5, '012aceiost'],
  [6, ' %-./3456789=A_bdfghlmnpru'],
  [7, ':BCDEFGHIJKLMNOPQRSTUVWYjkqvwxyz'],
  [8, '&*,;XZ'],
  [10, '!"()?'],
  [11, "'+|"],
  [12, '#>'],
  [13, '\0$@[]~'],
  [14, '^}'],
  [15, '<`{'],
  [19, '\\'],
];

/** What no visible character's code is longer than. */
const longestCode = 19;

/** Characters by the length and the value of their code: each code is one more than the last, with zeros appended. */
function codeTable(): Map<number, string> {
  const table = new Map<number, string>();
  let code = 0;
  let width = 0;
  for (const [bits, list] of codeLengths) {
    code <<= bits - width;
    width = bits;
    for (const character of list) table.set(keyOf(bits, code++), character);
  }
  return table;
}

const characters = codeTable();

function keyOf(bits: number, value: number): number {
  return bits * 2 ** 20 + value;
}

/** A header written as a literal that nobody keeps, in plain characters. */
export function literal(name: string, value: string): Buffer {
  return Buffer.concat([Buffer.of(0), text(name), text(value)]);
}

function text(value: string): Buffer {
  const bytes = Buffer.from(value);
  return Buffer.concat([integer(bytes.length, 7), bytes]);
}

/** An integer with a prefix of so many bits (section 5.1), the bits before it 0. */
function integer(value: number, prefix: number): Buffer {
  const most = 2 ** prefix - 1;
  if (value < most) return Buffer.of(value);
  const bytes = [most];
  let rest = value - most;
  for (; rest >= 128; rest = Math.floor(rest / 128)) bytes.push((rest % 128) | 128);
  return Buffer.from([...bytes, rest]);
}

/** Headers that the server wants kept for later, the newest first; what is older falls out (section 4). */
interface DynamicTable {
  entries: (readonly [name: string, value: string])[];
  maxSize: number;
}

/** Reads the header blocks of one connection, in their order. @throws Error for what is none. */
export function headerReader(): (block: Buffer) => Record<string, string> {
  const table: DynamicTable = { entries: [], maxSize: 4096 };
  return (block) => readHeaders(block, table);
}

function readHeaders(block: Buffer, table: DynamicTable): Record<string, string> {
  const headers: Record<string, string> = {};
  const cursor = { block, at: 0 };
  while (cursor.at < block.length) {
    const first = block[cursor.at] ?? 0;
    if ((first & 0x80) !== 0) {
      const [name, value = ''] = known(table, takeInteger(cursor, 7));
      headers[name] = value;
    } else if ((first & 0xe0) === 0x20) {
      table.maxSize = Math.min(4096, takeInteger(cursor, 5));
      shrink(table);
    } else {
      const isKept = (first & 0x40) !== 0;
      const index = takeInteger(cursor, isKept ? 6 : 4);
      const name = index === 0 ? takeText(cursor) : known(table, index)[0];
      const value = takeText(cursor);
      headers[name] = value;
      if (isKept) table.entries.unshift([name, value]);
      shrink(table);
    }
  }
  return headers;
}

function shrink({ entries, maxSize }: DynamicTable): void {
  const size = () => entries.reduce((sum, [name, value]) => sum + name.length + value.length + 32, 0);
  while (entries.length > 0 && size() > maxSize) entries.pop();
}

interface Cursor {
  block: Buffer;
  at: number;
}

function known({ entries }: DynamicTable, index: number): readonly [name: string, value?: string] {
  const entry = staticTable[index - 1] ?? entries[index - 1 - staticTable.length];
  if (entry === undefined) throw new Error(`header ${index} is in no table`);
  return entry;
}

function takeByte(cursor: Cursor): number {
  const byte = cursor.block[cursor.at];
  if (byte === undefined) throw new Error('a header block that ends too early');
  cursor.at += 1;
  return byte;
}

function takeInteger(cursor: Cursor, prefix: number): number {
  const most = 2 ** prefix - 1;
  let value = takeByte(cursor) & most;
  if (value < most) return value;
  for (let factor = 1; factor <= 2 ** 21; factor *= 128) {
    const byte = takeByte(cursor);
    value += (byte & 127) * factor;
    if (byte < 128) return value;
  }
  throw new Error('a header block with too large a number');
}

function takeText(cursor: Cursor): string {
  const isCoded = ((cursor.block[cursor.at] ?? 0) & 0x80) !== 0;
  const length = takeInteger(cursor, 7);
  const bytes = cursor.block.subarray(cursor.at, cursor.at + length);
  if (bytes.length < length) throw new Error('a header block that ends too early');
  cursor.at += length;
  return isCoded ? decode(bytes) : bytes.toString('latin1');
}

/** Takes a Huffman code apart. Headers of gRPC have visible characters only; the rest of the last byte is ones. */
function decode(bytes: Buffer): string {
  let found = '';
  let bits = 0;
  let value = 0;
  for (const byte of bytes)
    for (let bit = 7; bit >= 0; bit -= 1) {
      value = (value << 1) | ((byte >> bit) & 1);
      bits += 1;
      if (bits > longestCode) throw new Error('a header with unreadable characters');
      const character = characters.get(keyOf(bits, value));
      if (character === undefined) continue;
      found += character;
      bits = 0;
      value = 0;
    }
  if (bits > 7 || value !== 2 ** bits - 1) throw new Error('a header that ends within a character');
  return found;
}
