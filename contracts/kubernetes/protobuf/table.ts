/**
 * The kinds as protobuf messages: which number each field has. Types are those of `../schema/`, so that only the
 * numbers are written down here, by hand. A row names a message's fields in the order of their numbers, from 1:
 *
 * - `7:name` goes on at 7;
 * - `*name` may be empty and yet said: an empty text, zero or false is kept (the original has a pointer there);
 * - `+Part` is a message of its own whose fields stand among the outer object's in JSON.
 *
 * The encoding is that of https://protobuf.dev/programming-guides/encoding/, the messages are those of
 * https://kubernetes.io/docs/reference/using-api/api-concepts/#protobuf-encoding.
 */
import { type FieldType, modelOf } from '../schema/schema.ts';
import { access } from './numbers/access.ts';
import { cluster } from './numbers/cluster.ts';
import { meta } from './numbers/meta.ts';
import { pods } from './numbers/pods.ts';
import { volumes } from './numbers/volumes.ts';

/** A field of a message. */
export interface WireField {
  number: number;
  /** The name in JSON; of a part, the part's. */
  name: string;
  type: FieldType;
  /** A part: its fields belong to the outer object. */
  part?: WireMessage;
  /** Whether an empty value is kept. */
  keepEmpty: boolean;
}

/** A message. */
export interface WireMessage {
  byNumber: ReadonlyMap<number, WireField>;
  /** Those that are no parts, by their name in JSON. */
  byName: ReadonlyMap<string, WireField>;
  parts: readonly WireField[];
}

const rows: Readonly<Record<string, string>> = { ...meta, ...pods, ...volumes, ...cluster, ...access };
const messages = new Map<string, WireMessage>();

/** The message of a model; undefined for models without one. */
export function messageOf(model: string): WireMessage | undefined {
  const known = messages.get(model);
  if (known !== undefined) return known;
  const row = rows[model];
  const list = /^(\w+)List$/.exec(model)?.[1];
  if (row === undefined && (list === undefined || rows[list] === undefined)) return undefined;
  const message = row === undefined ? listMessage(list ?? '') : readRow(row, model);
  messages.set(model, message);
  return message;
}

/** Every list has its metadata and its items. */
function listMessage(item: string): WireMessage {
  return asMessage([
    { number: 1, name: 'metadata', type: { kind: 'model', name: 'ListMeta' }, keepEmpty: true },
    { number: 2, name: 'items', type: { kind: 'list', of: { kind: 'model', name: item } }, keepEmpty: true },
  ]);
}

/** @param outer the model that the fields belong to in JSON. */
function readRow(row: string, outer: string): WireMessage {
  const fields: WireField[] = [];
  let number = 0;
  for (const word of row.split(/\s+/)) {
    const [, at, mark, name = ''] = /^(?:(\d+):)?([*+]?)(\w+)$/.exec(word) ?? [];
    number = at === undefined ? number + 1 : Number(at);
    if (mark === '+') {
      const type: FieldType = { kind: 'model', name };
      fields.push({ number, name, type, part: readRow(rows[name] ?? '', outer), keepEmpty: true });
    } else {
      fields.push({ number, name, ...typeOf(outer, name, mark === '*') });
    }
  }
  return asMessage(fields);
}

function typeOf(model: string, name: string, pointer: boolean): Pick<WireField, 'type' | 'keepEmpty'> {
  const field = modelOf(model)?.get(name) ?? extra[model]?.[name];
  if (field === undefined) throw new Error(`no field ${name} in the schema of ${model}`);
  return { type: field.type, keepEmpty: pointer || field.required };
}

/** Fields of messages that the schema has no model for. */
const extra: Record<string, Record<string, { type: FieldType; required: boolean }> | undefined> = {
  PartialObjectMetadata: { metadata: { type: { kind: 'model', name: 'ObjectMeta' }, required: true } },
};

function asMessage(fields: readonly WireField[]): WireMessage {
  return {
    byNumber: new Map(fields.map((field) => [field.number, field])),
    byName: new Map(fields.filter(({ part }) => part === undefined).map((field) => [field.name, field])),
    parts: fields.filter(({ part }) => part !== undefined),
  };
}
