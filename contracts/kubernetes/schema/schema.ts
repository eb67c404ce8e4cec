/**
 * The shapes of all kinds as a table: field names, types and which are required. `schema.json` is written by
 * scripts/kubernetes-schema.ts.
 */
import table from './schema.json' with { type: 'json' };

/** A field's type: a scalar's name, a model's name, or a list or map of one. */
export type FieldType =
  | { kind: 'scalar'; name: Scalar }
  | { kind: 'model'; name: string }
  | { kind: 'list'; of: FieldType }
  | { kind: 'map'; of: FieldType };

/** What a scalar field may hold; `any` takes every JSON value. */
export type Scalar =
  | 'string'
  | 'boolean'
  | 'int32'
  | 'int64'
  | 'double'
  | 'time'
  | 'microTime'
  | 'intOrString'
  | 'quantity'
  | 'bytes'
  | 'any';

/** A field of a model. */
export interface Field {
  type: FieldType;
  required: boolean;
}

/** A model: its fields by name. */
export type Model = ReadonlyMap<string, Field>;

const models: ReadonlyMap<string, Model> = new Map(
  Object.entries(table as Record<string, Record<string, string>>).map(([name, rows]) => [
    name,
    readModel(rows),
  ]),
);

function readModel(rows: Record<string, string>): Model {
  return new Map(
    Object.entries(rows).map(([field, text]) => [
      field,
      { type: parseType(text.replace(/!$/, '')), required: text.endsWith('!') },
    ]),
  );
}

/** The model of this name; undefined if there is none. */
export function modelOf(name: string): Model | undefined {
  return models.get(name);
}

/** The names of all models. */
export function modelNames(): string[] {
  return Object.keys(table);
}

/** Reads `[]Container`, `{}quantity`, `string`. */
function parseType(text: string): FieldType {
  if (text.startsWith('[]')) return { kind: 'list', of: parseType(text.slice(2)) };
  if (text.startsWith('{}')) return { kind: 'map', of: parseType(text.slice(2)) };
  return /^[A-Z]/.test(text) ? { kind: 'model', name: text } : { kind: 'scalar', name: text as Scalar };
}
