/**
 * The symbols of a kernel whose symbol table was stripped: those that it carries for its own messages
 * (CONFIG_KALLSYMS_ALL). As scripts/kallsyms.c of Linux 6.1 writes them, one behind the other, each beginning at a
 * multiple of 8 bytes:
 *
 *     offsets         32 bits for each symbol; negative ones count down from the base, others are percpu
 *     relative_base   64 bits
 *     num_syms        32 bits
 *     names           for each symbol its length, in one byte or two, and as many numbers of tokens
 *     markers         32 bits for every 256th symbol: where its name begins
 *     seqs_of_names   3 bytes for each symbol: the order of their names; from some 6.1.y on
 *     token_table     256 texts, each ended by a zero
 *     token_index     16 bits for each token: where its text begins
 *
 * Nothing says where they are. But digits are tokens of themselves, side by side, and the rest is found from there; every
 * step is checked against what the others say.
 */
import { SkiffError } from '#foundation/base/errors.ts';

/** Where the kernel's addresses begin (__START_KERNEL_map); what is loaded at it lies at physical address 0. */
export const kernelMap = 0xffffffff80000000n;

const tokens = 256;
const digits = Buffer.from([...'0123456789', ''].join('\0'), 'latin1');
/** Symbols for each marker. */
const group = 256;

/** The tables, by where they begin in the file. */
interface Tables {
  texts: string[];
  names: number;
  count: number;
}

/**
 * Addresses by name, less `kernelMap`; several for a name that several files have for their own.
 *
 * @throws SkiffError NOT_FOUND for a kernel that carries none, or another form of them.
 */
export function kernelSymbols(file: Buffer): Map<string, number[]> {
  for (let at = file.indexOf(digits); at >= 0; at = file.indexOf(digits, at + 1)) {
    const tables = findTables(file, at);
    if (tables !== undefined) return readSymbols(file, tables);
  }
  throw new SkiffError('NOT_FOUND', 'The kernel carries no symbols in the form of Linux 6.1');
}

function findTables(file: Buffer, digitsAt: number): Tables | undefined {
  let table = digitsAt;
  for (let token = 0; token < '0'.charCodeAt(0); token += 1) table = file.lastIndexOf(0, table - 2) + 1;
  const texts: string[] = [];
  const starts: number[] = [];
  let end = table;
  for (let token = 0; token < tokens; token += 1) {
    starts.push(end - table);
    const next = file.indexOf(0, end);
    texts.push(file.toString('latin1', end, next));
    end = next + 1;
  }
  const index = aligned(end);
  if (index + 2 * tokens > file.length) return undefined;
  if (starts.some((start, token) => file.readUInt16LE(index + 2 * token) !== start)) return undefined;
  return findNames(file, table, texts);
}

/** Goes back to where a base stands before a number, and as many names behind it, as the markers say. */
function findNames(file: Buffer, table: number, texts: string[]): Tables | undefined {
  for (let at = table - 8; at > 8; at -= 8) {
    // Addresses of a kernel have ones for the upper half, and no number of symbols reaches into its own.
    if (file.readUInt32LE(at - 4) !== 0xffffffff || file.readUInt32LE(at + 4) !== 0) continue;
    const count = file.readUInt32LE(at);
    if (count > 0 && count < table - at && fits(file, at + 8, count, table))
      return { texts, names: at + 8, count };
  }
  return undefined;
}

/** Whether so many names end where markers begin that point at them, and those where the tokens do. */
function fits(file: Buffer, names: number, count: number, table: number): boolean {
  const starts: number[] = [];
  let at = names;
  for (let symbol = 0; symbol < count; symbol += 1) {
    if (symbol % group === 0) starts.push(at - names);
    at = nameAt(file, at).end;
    if (at >= table) return false;
  }
  const markers = aligned(at);
  const end = aligned(markers + 4 * starts.length);
  if (end !== table && aligned(end + 3 * count) !== table) return false;
  return starts.every((start, index) => file.readUInt32LE(markers + 4 * index) === start);
}

/** The numbers of a name's tokens: a length with the highest bit goes on in the next byte. */
function nameAt(file: Buffer, at: number): { from: number; end: number } {
  const first = file.readUInt8(at);
  if (first < 0x80) return { from: at + 1, end: at + 1 + first };
  const length = (first & 0x7f) | (file.readUInt8(at + 1) << 7);
  return { from: at + 2, end: at + 2 + length };
}

function readSymbols(file: Buffer, { texts, names, count }: Tables): Map<string, number[]> {
  const base = Number(file.readBigUInt64LE(names - 16) - kernelMap);
  const offsets = names - 16 - aligned(4 * count);
  const symbols = new Map<string, number[]>();
  for (let symbol = 0, at = names; symbol < count; symbol += 1) {
    const { from, end } = nameAt(file, at);
    const text = [...file.subarray(from, end)].map((token) => texts[token]).join('');
    const offset = file.readInt32LE(offsets + 4 * symbol);
    // The first letter is the kind, as nm(1) tells it.
    const name = text.slice(1);
    if (offset < 0) symbols.set(name, [...(symbols.get(name) ?? []), base - 1 - offset]);
    at = end;
  }
  return symbols;
}

function aligned(at: number): number {
  return (at + 7) & ~7;
}
