/**
 * Answers that are put together from messages in wire format: a list that is asked for every second is mostly made of
 * the same messages, and encoding them anew costs more than all else that a list does.
 */
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire';

/** A message in protobuf's wire format; a handler may return it in place of the message. */
export class EncodedMessage {
  readonly bytes: Buffer;

  constructor(bytes: Buffer) {
    this.bytes = bytes;
  }
}

/**
 * One element of a repeated message field, with its tag and length before it
 * (https://protobuf.dev/programming-guides/encoding/, "Length-Delimited Records").
 *
 * @param field the field's number.
 * @param message the element in wire format.
 */
export function encodedElement(field: number, message: Uint8Array): Uint8Array {
  return new BinaryWriter().tag(field, WireType.LengthDelimited).bytes(message).finish();
}

/** The message whose fields, in wire format, are `parts`. */
export function encodedMessage(parts: readonly Uint8Array[]): EncodedMessage {
  return new EncodedMessage(Buffer.concat(parts));
}
