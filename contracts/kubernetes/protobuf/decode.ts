/** Turns a message into what its JSON would be. Fields that the table does not know are passed over, as in the original. */
import { formatMicroTime, formatTime } from '../meta.ts';
import type { FieldType, Scalar } from '../schema/schema.ts';
import { messageOf, type WireField, type WireMessage } from './table.ts';
import { delimited, malformed, openMessage, varint } from './wire.ts';

/** Deeper messages are refused: no kind nests so far, but attacks do. */
const maxDepth = 100;

type Json = Record<string, unknown>;

/**
 * Decodes a message of a model.
 *
 * @throws SkiffError INVALID_ARGUMENT for bytes that are no such message, UNIMPLEMENTED for models without one.
 */
export function decodeMessage(model: string, bytes: Buffer): Json {
  const message = messageOf(model);
  if (message === undefined) throw malformed(`${model} has no protobuf form here`);
  return readInto({}, message, bytes, 0);
}

function readInto(target: Json, message: WireMessage, bytes: Buffer, depth: number): Json {
  if (depth > maxDepth) throw malformed(`it is nested deeper than ${maxDepth} levels`);
  const reader = openMessage(bytes);
  for (let head = reader.next(); head !== undefined; head = reader.next()) {
    const field = message.byNumber.get(head.number);
    if (field === undefined) {
      reader.skip(head.wire);
      continue;
    }
    const wanted = isNumber(field.type) ? varint : delimited;
    if (head.wire !== wanted) throw malformed(`${field.name} has the wire type ${head.wire}`);
    if (field.part !== undefined) readInto(target, field.part, reader.bytes(), depth + 1);
    else if (wanted === varint) put(target, field, number(field, reader.integer()));
    else put(target, field, value(field.type, reader.bytes(), depth + 1, target[field.name]));
  }
  return target;
}

function isNumber(type: FieldType): boolean {
  if (type.kind === 'list') return isNumber(type.of);
  return type.kind === 'scalar' && ['boolean', 'int32', 'int64'].includes(type.name);
}

function number({ type }: WireField, read: bigint): unknown {
  const scalar = type.kind === 'list' ? type.of : type;
  if (scalar.kind === 'scalar' && scalar.name === 'boolean') return wrap(type, read !== 0n);
  const wide = scalar.kind === 'scalar' && scalar.name === 'int64';
  return wrap(type, Number(wide ? read : BigInt.asIntN(32, read)));
}

function wrap(type: FieldType, one: unknown): unknown {
  return type.kind === 'list' ? [one] : one;
}

/** Sets a field, or adds to its list; what is empty and was not meant is left out. */
function put(target: Json, { name, type, keepEmpty }: WireField, read: unknown): void {
  if (read === undefined) return;
  if (type.kind === 'list') {
    const list = (target[name] ?? []) as unknown[];
    list.push(...(read as unknown[]));
    target[name] = list;
  } else if (keepEmpty || (read !== '' && read !== 0 && read !== false)) {
    target[name] = read;
  } else {
    delete target[name];
  }
}

function value(type: FieldType, bytes: Buffer, depth: number, before: unknown): unknown {
  if (type.kind === 'scalar') return scalar(type.name, bytes);
  if (type.kind === 'list') return [value(type.of, bytes, depth, undefined) ?? null];
  if (type.kind === 'map') return entry(type.of, bytes, depth, (before ?? {}) as Json);
  const message = messageOf(type.name);
  if (message === undefined) throw malformed(`${type.name} has no protobuf form here`);
  return readInto((before ?? {}) as Json, message, bytes, depth);
}

/** A map's entry: its key is field 1, its value field 2. */
function entry(of: FieldType, bytes: Buffer, depth: number, map: Json): Json {
  const reader = openMessage(bytes);
  let key = '';
  let content: Buffer = Buffer.alloc(0);
  for (let head = reader.next(); head !== undefined; head = reader.next()) {
    if (head.number === 1 && head.wire === delimited) key = reader.bytes().toString();
    else if (head.number === 2 && head.wire === delimited) content = reader.bytes();
    else reader.skip(head.wire);
  }
  // Lists within maps are messages of their own, whose field 1 repeats.
  const read = of.kind === 'list' ? texts(content) : value(of, content, depth + 1, undefined);
  Object.defineProperty(map, key, { value: read, enumerable: true, configurable: true, writable: true });
  return map;
}

function texts(bytes: Buffer): string[] {
  const found: string[] = [];
  const reader = openMessage(bytes);
  for (let head = reader.next(); head !== undefined; head = reader.next()) {
    if (head.number === 1 && head.wire === delimited) found.push(reader.bytes().toString());
    else reader.skip(head.wire);
  }
  return found;
}

function scalar(type: Scalar, bytes: Buffer): unknown {
  if (type === 'string') return bytes.toString();
  if (type === 'bytes') return bytes.toString('base64');
  const numbers = new Map<number, bigint>();
  const contents = new Map<number, Buffer>();
  const reader = openMessage(bytes);
  for (let head = reader.next(); head !== undefined; head = reader.next()) {
    if (head.wire === varint) numbers.set(head.number, reader.integer());
    else if (head.wire === delimited) contents.set(head.number, reader.bytes());
    else reader.skip(head.wire);
  }
  const first = contents.get(1);
  if (type === 'quantity') return first === undefined || first.length === 0 ? '0' : first.toString();
  if (type === 'intOrString')
    return numbers.get(1) === 1n
      ? (contents.get(3)?.toString() ?? '')
      : Number(BigInt.asIntN(32, numbers.get(2) ?? 0n));
  if (type === 'time' || type === 'microTime') return time(type, numbers);
  return first === undefined || first.length === 0 ? undefined : json(first);
}

/** Seconds and nanoseconds since 1970; nothing for a time that is not set. */
function time(type: 'time' | 'microTime', numbers: ReadonlyMap<number, bigint>): string | undefined {
  if (numbers.size === 0) return undefined;
  const seconds = Number(numbers.get(1) ?? 0n);
  if (Math.abs(seconds) > 250_000_000_000) throw malformed(`${seconds} s is no time`);
  const nanos = Number(numbers.get(2) ?? 0n);
  if (type === 'time') return formatTime(seconds * 1000);
  const micros = String(Math.floor(nanos / 1000)).padStart(6, '0');
  return formatMicroTime(seconds * 1000).replace(/\.\d+Z$/, `.${micros}Z`);
}

function json(bytes: Buffer): unknown {
  try {
    return JSON.parse(bytes.toString()) as unknown;
  } catch {
    throw malformed('it holds JSON that cannot be read');
  }
}
