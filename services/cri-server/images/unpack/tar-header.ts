/**
 * The 512-byte header of a tar entry: ustar (POSIX.1-1988), with GNU's and PAX's habits. See tar(5).
 * Names are binary strings: one character for each byte.
 */
import { SkiffError } from '#foundation/base/errors.ts';

export const blockBytes = 512;

/** What a header says; numbers as they stand there, before PAX records override them. */
export interface Header {
  name: string;
  mode: number;
  uid: number;
  gid: number;
  size: number;
  /** Seconds since the epoch. */
  mtime: number;
  /** The type flag as a character; NUL is given as `0`. */
  type: string;
  linkName: string;
  isGnu: boolean;
  deviceMajor: number;
  deviceMinor: number;
}

/** Whether a block is all zeros: two of them end an archive. */
export function isZeroBlock(block: Buffer): boolean {
  for (let at = 0; at < blockBytes; at += 8)
    if (block.readDoubleLE(at) !== 0 || block[at + 7] !== 0) return false;
  return true;
}

/**
 * Parses a header.
 *
 * @throws SkiffError DATA_LOSS if the checksum or a number is wrong.
 */
export function parseHeader(block: Buffer): Header {
  checkSum(block);
  const magic = block.toString('latin1', 257, 263);
  const isGnu = magic === 'ustar ';
  const prefix = magic === 'ustar\0' ? text(block, 345, 155) : '';
  const base = text(block, 0, 100);
  const type = block[156] === 0 ? '0' : String.fromCharCode(block[156] ?? 0);
  const isUstar = isGnu || magic === 'ustar\0';
  return {
    name: prefix === '' ? base : `${prefix}/${base}`,
    mode: number(block, 100, 8, 'mode'),
    uid: number(block, 108, 8, 'user id'),
    gid: number(block, 116, 8, 'group id'),
    size: number(block, 124, 12, 'size'),
    mtime: number(block, 136, 12, 'time'),
    type,
    linkName: text(block, 157, 100),
    isGnu,
    deviceMajor: isUstar ? number(block, 329, 8, 'device') : 0,
    deviceMinor: isUstar ? number(block, 337, 8, 'device') : 0,
  };
}

/** The sum of all bytes with the checksum field taken as spaces; old tars summed signed bytes. */
function checkSum(block: Buffer): void {
  let unsigned = 256;
  let signed = 256;
  for (let at = 0; at < blockBytes; at += 1) {
    if (at >= 148 && at < 156) continue;
    const byte = block[at] ?? 0;
    unsigned += byte;
    signed += byte > 127 ? byte - 256 : byte;
  }
  const stated = number(block, 148, 8, 'checksum');
  if (stated !== unsigned && stated !== signed)
    throw new SkiffError('DATA_LOSS', 'the tar archive is damaged: the checksum of a header is wrong');
}

/** A NUL-terminated text field, as bytes. */
export function text(block: Buffer, offset: number, length: number): string {
  const nul = block.indexOf(0, offset);
  return block.toString('latin1', offset, nul < 0 || nul > offset + length ? offset + length : nul);
}

/** An octal number, or with the highest bit set a big-endian two's complement one (GNU's base-256). */
export function number(block: Buffer, offset: number, length: number, what: string): number {
  const first = block[offset] ?? 0;
  if ((first & 0x80) !== 0) return base256(block, offset, length, what);
  const digits = text(block, offset, length).trim();
  if (digits === '') return 0;
  if (!/^[0-7]+$/.test(digits))
    throw new SkiffError('DATA_LOSS', `the tar archive is damaged: a ${what} is not an octal number`);
  return Number.parseInt(digits, 8);
}

function base256(block: Buffer, offset: number, length: number, what: string): number {
  const first = block[offset] ?? 0;
  // The sign is the second-highest bit of the first byte; the highest is the mark.
  let value = BigInt((first & 0x40) !== 0 ? first - 256 : first & 0x7f);
  for (let at = offset + 1; at < offset + length; at += 1) value = (value << 8n) | BigInt(block[at] ?? 0);
  const result = Number(value);
  if (!Number.isSafeInteger(result))
    throw new SkiffError('DATA_LOSS', `the tar archive is damaged: a ${what} is larger than any can be`);
  return result;
}
