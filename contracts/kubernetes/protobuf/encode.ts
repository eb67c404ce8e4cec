/** Turns JSON in a model's shape into its message. Fields that the table does not know are left out. */
import { SkiffError } from '#foundation/base/errors.ts';
import type { FieldType, Scalar } from '../schema/schema.ts';
import { messageOf, type WireMessage } from './table.ts';
import { bytesField, integerField } from './wire.ts';

/** Encodes an object of a model. @throws SkiffError UNIMPLEMENTED for models that have no message. */
export function encodeMessage(model: string, object: object): Buffer {
  const message = messageOf(model);
  if (message === undefined)
    throw new SkiffError('UNIMPLEMENTED', `${model} has no protobuf form here; ask for JSON`);
  return writeMessage(message, object as Record<string, unknown>);
}

function writeMessage(message: WireMessage, object: Record<string, unknown>): Buffer {
  const parts: Buffer[] = [];
  for (const { number, part } of message.parts)
    if (part !== undefined) parts.push(bytesField(number, writeMessage(part, object)));
  for (const [name, value] of Object.entries(object)) {
    const field = message.byName.get(name);
    if (field !== undefined && value !== undefined && value !== null)
      writeField(parts, field.number, field.type, value);
  }
  return Buffer.concat(parts);
}

function writeField(parts: Buffer[], number: number, type: FieldType, value: unknown): void {
  if (type.kind === 'list') {
    for (const each of value as unknown[]) writeField(parts, number, type.of, each ?? emptyOf(type.of));
  } else if (type.kind === 'map') {
    for (const [key, each] of Object.entries(value as object)) {
      const entry = [bytesField(1, key)];
      writeEntryValue(entry, type.of, each);
      parts.push(bytesField(number, Buffer.concat(entry)));
    }
  } else if (type.kind === 'model') {
    parts.push(bytesField(number, encodeMessage(type.name, value as object)));
  } else {
    parts.push(scalar(number, type.name, value));
  }
}

/** A list within a map is a message of its own, whose field 1 repeats. */
function writeEntryValue(entry: Buffer[], of: FieldType, value: unknown): void {
  if (of.kind === 'list')
    entry.push(bytesField(2, Buffer.concat(((value ?? []) as string[]).map((each) => bytesField(1, each)))));
  else writeField(entry, 2, of, value ?? emptyOf(of));
}

function emptyOf(type: FieldType): unknown {
  if (type.kind !== 'scalar') return {};
  return type.name === 'boolean' || type.name.startsWith('int') ? 0 : '';
}

function scalar(number: number, type: Scalar, value: unknown): Buffer {
  switch (type) {
    case 'boolean':
      return integerField(number, value === true ? 1 : 0);
    case 'int32':
    case 'int64':
      return integerField(number, BigInt(value as number));
    case 'bytes':
      return bytesField(number, Buffer.from(String(value), 'base64'));
    case 'quantity':
      return bytesField(number, bytesField(1, String(value)));
    case 'intOrString':
      return bytesField(number, intOrString(value as number | string));
    case 'time':
    case 'microTime':
      return bytesField(number, time(String(value)));
    case 'any':
      return bytesField(number, bytesField(1, JSON.stringify(value)));
    default:
      return bytesField(number, String(value));
  }
}

function intOrString(value: number | string): Buffer {
  if (typeof value === 'string') return Buffer.concat([integerField(1, 1), bytesField(3, value)]);
  return Buffer.concat([integerField(1, 0), integerField(2, value)]);
}

function time(text: string): Buffer {
  const ms = Date.parse(text);
  const fraction = /\.(\d+)/.exec(text)?.[1] ?? '';
  const nanos = Number(fraction.slice(0, 9).padEnd(9, '0'));
  return Buffer.concat([integerField(1, Math.floor(ms / 1000)), integerField(2, nanos)]);
}
