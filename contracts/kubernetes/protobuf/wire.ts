/** Reading protobuf's wire format. https://protobuf.dev/programming-guides/encoding/ */
import { SkiffError } from '#foundation/base/errors.ts';

/** The type of a field on the wire: how long it is. */
export const varint = 0;
const fixed64 = 1;
export const delimited = 2;
const fixed32 = 5;

/** What a message that cannot be read is. */
export function malformed(why: string): SkiffError {
  return new SkiffError('INVALID_ARGUMENT', `the body is not protobuf: ${why}`);
}

/** Reads the fields of one message, in the order in which they stand there. */
export interface Reader {
  /** The next field; undefined at the end. @throws SkiffError INVALID_ARGUMENT where the bytes make no sense. */
  next(): { number: number; wire: number } | undefined;
  /** The value of a varint field. */
  integer(): bigint;
  /** The content of a delimited field; a view, no copy. */
  bytes(): Buffer;
  /** Passes over a field's value. */
  skip(wire: number): void;
}

/** Opens a message. */
export function openMessage(bytes: Buffer): Reader {
  let at = 0;
  const integer = (): bigint => {
    let value = 0n;
    for (let shift = 0n; shift < 70n; shift += 7n) {
      const byte = bytes[at];
      if (byte === undefined) throw malformed('it ends within a number');
      at += 1;
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return BigInt.asIntN(64, value);
    }
    throw malformed('a number is longer than ten bytes');
  };
  const small = (): number => {
    const byte = bytes[at];
    if (byte !== undefined && byte < 0x80) {
      at += 1;
      return byte;
    }
    return Number(BigInt.asUintN(64, integer()));
  };
  const take = (length: number): Buffer => {
    if (length > bytes.length - at) throw malformed('it ends within a field');
    at += length;
    return bytes.subarray(at - length, at);
  };
  return {
    next: () => {
      if (at >= bytes.length) return undefined;
      const tag = small();
      const number = Math.floor(tag / 8);
      if (number < 1 || number >= 2 ** 29) throw malformed(`${number} is no field number`);
      return { number, wire: tag % 8 };
    },
    integer,
    bytes: () => take(small()),
    skip: (wire) => {
      if (wire === varint) integer();
      else if (wire === delimited) take(small());
      else if (wire === fixed64) take(8);
      else if (wire === fixed32) take(4);
      else throw malformed(`there is no wire type ${wire}`);
    },
  };
}

/** A field's head and its varint. */
export function integerField(number: number, value: bigint | number): Buffer {
  return Buffer.concat([encodeVarint(number * 8 + varint), encodeVarint(value)]);
}

/** A field's head, its length and its content. */
export function bytesField(number: number, content: Uint8Array | string): Buffer {
  const body = typeof content === 'string' ? Buffer.from(content) : content;
  return Buffer.concat([encodeVarint(number * 8 + delimited), encodeVarint(body.length), body]);
}

function encodeVarint(value: bigint | number): Buffer {
  if (typeof value === 'number' && value >= 0 && value < 0x80) return Buffer.of(value);
  let rest = BigInt.asUintN(64, BigInt(value));
  const bytes: number[] = [];
  do {
    bytes.push(Number(rest & 0x7fn) | (rest > 0x7fn ? 0x80 : 0));
    rest >>= 7n;
  } while (rest > 0n);
  return Buffer.from(bytes);
}
