/**
 * How an object travels as protobuf: four bytes that say so, its kind, and its message.
 * https://kubernetes.io/docs/reference/using-api/api-concepts/#protobuf-encoding
 */
import { decodeMessage } from './decode.ts';
import { encodeMessage } from './encode.ts';
import { bytesField, delimited, malformed, openMessage } from './wire.ts';

/** The media type. */
export const protobufType = 'application/vnd.kubernetes.protobuf';

const magic = Buffer.from('k8s\0');

/**
 * Reads an object of a model.
 *
 * @returns what its JSON would be, with apiVersion and kind if it says them; only these if it is of another kind.
 * @throws SkiffError INVALID_ARGUMENT for bytes that are no such object.
 */
export function decodeObject(bytes: Buffer, model: string): Record<string, unknown> {
  if (!bytes.subarray(0, magic.length).equals(magic)) throw malformed('it does not begin with "k8s"');
  const { type, raw } = readEnvelope(bytes.subarray(magic.length));
  const other = type.kind !== '' && wireModel(type) !== model;
  return {
    ...(type.apiVersion === '' ? {} : { apiVersion: type.apiVersion }),
    ...(type.kind === '' ? {} : { kind: type.kind }),
    ...(other ? {} : decodeMessage(model, raw)),
  };
}

/** The model of an object's message: its kind, but for events, of which there are two. */
export function wireModel({ apiVersion, kind = '' }: { apiVersion?: string; kind?: string }): string {
  return apiVersion === 'events.k8s.io/v1' ? `Events${kind}` : kind;
}

interface TypeMeta {
  apiVersion: string;
  kind: string;
}

function readEnvelope(bytes: Buffer): { type: TypeMeta; raw: Buffer } {
  const type: TypeMeta = { apiVersion: '', kind: '' };
  let raw: Buffer = Buffer.alloc(0);
  const reader = openMessage(bytes);
  for (let head = reader.next(); head !== undefined; head = reader.next()) {
    if (head.wire !== delimited) reader.skip(head.wire);
    else if (head.number === 1) readType(reader.bytes(), type);
    else if (head.number === 2) raw = reader.bytes();
    else if (reader.bytes().length > 0 && head.number === 3)
      throw malformed('its content is encoded further');
  }
  return { type, raw };
}

function readType(bytes: Buffer, type: TypeMeta): void {
  const reader = openMessage(bytes);
  for (let head = reader.next(); head !== undefined; head = reader.next()) {
    if (head.wire !== delimited) reader.skip(head.wire);
    else if (head.number === 1) type.apiVersion = reader.bytes().toString();
    else if (head.number === 2) type.kind = reader.bytes().toString();
    else reader.bytes();
  }
}

/** Writes an object; its kind is read from it, and is its model unless told. */
export function encodeObject(
  object: { apiVersion?: string; kind?: string },
  model = wireModel(object),
): Buffer {
  const { apiVersion = '', kind = '', ...rest } = object;
  const type = Buffer.concat([bytesField(1, apiVersion), bytesField(2, kind)]);
  return Buffer.concat([
    magic,
    bytesField(1, type),
    bytesField(2, encodeMessage(model, rest)),
    bytesField(3, ''),
    bytesField(4, ''),
  ]);
}

/** One event of a watch: its length in four bytes, its type, and the object as `encodeObject` wrote it. */
export function encodeEvent(type: string, object: Buffer): Buffer {
  const event = Buffer.concat([bytesField(1, type), bytesField(2, bytesField(1, object))]);
  const length = Buffer.alloc(4);
  length.writeUInt32BE(event.length);
  return Buffer.concat([length, event]);
}
