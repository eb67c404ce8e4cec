/**
 * Brings a JSON value into a model's shape: what the model knows is kept, in canonical form; what is wrong is
 * listed with its path. Nulls count as absent, as in the original.
 */
import { isSkiffError, messageOf } from '#foundation/base/errors.ts';
import { canonicalQuantity } from '../quantity.ts';
import { type FieldType, modelOf, type Scalar } from '../schema/schema.ts';
import { type FieldPath, formatPath } from './path.ts';
import { suggestion } from './suggest.ts';

/** Something wrong in a value. Unknown fields are dropped from the result; wrong types too. */
export interface ShapeProblem {
  kind: 'unknown' | 'type';
  path: FieldPath;
  /** Why, without the path. */
  reason: string;
}

/** Deeper values are refused: no kind nests so far, but attacks do. */
const maxDepth = 100;
/** More problems than anybody reads. */
const maxProblems = 50;

/** The value in the model's shape, and what was wrong. */
export function shapeAs(model: string, value: unknown): { value: unknown; problems: ShapeProblem[] } {
  const problems: ShapeProblem[] = [];
  const shaped = shapeField({ kind: 'model', name: model }, value, [], problems);
  return { value: shaped, problems };
}

function shapeField(
  type: FieldType,
  value: unknown,
  path: (string | number)[],
  problems: ShapeProblem[],
): unknown {
  if (value === null || value === undefined) return undefined;
  if (path.length > maxDepth) return report(problems, 'type', path, `nested deeper than ${maxDepth} levels`);
  if (type.kind === 'scalar') return shapeScalar(type.name, value, path, problems);
  if (type.kind === 'list') return shapeList(type.of, value, path, problems);
  if (type.kind === 'map') return shapeMap(type.of, value, path, problems);
  return shapeModel(type.name, value, path, problems);
}

function report(
  problems: ShapeProblem[],
  kind: ShapeProblem['kind'],
  path: FieldPath,
  reason: string,
): undefined {
  if (problems.length < maxProblems) problems.push({ kind, path: [...path], reason });
}

function expected(what: string, value: unknown, path: FieldPath, problems: ShapeProblem[]): undefined {
  return report(
    problems,
    'type',
    path,
    `expected ${what}, found ${describe(value)}${quoteHint(what, value)}`,
  );
}

/** YAML reads `5` as a number and `y` as true; quotes make them text. */
function quoteHint(what: string, value: unknown): string {
  if (what !== 'text') return '';
  if (typeof value === 'number') return `; write it in quotes: ${JSON.stringify(String(value))}`;
  return typeof value === 'boolean' ? '; write it in quotes' : '';
}

function describe(value: unknown): string {
  if (Array.isArray(value)) return 'a list';
  if (typeof value === 'object') return 'a mapping';
  if (typeof value === 'string') return `the text ${JSON.stringify(value.slice(0, 40))}`;
  return `${typeof value === 'boolean' ? '' : 'the number '}${String(value)}`;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function shapeModel(
  name: string,
  value: unknown,
  path: (string | number)[],
  problems: ShapeProblem[],
): unknown {
  if (!isRecord(value)) return expected('a mapping', value, path, problems);
  const model = modelOf(name);
  if (model === undefined) return value;
  const shaped: Record<string, unknown> = {};
  for (const [key, each] of Object.entries(value)) {
    path.push(key);
    const field = model.get(key);
    if (field === undefined) {
      report(problems, 'unknown', path, ['unknown field', suggestion(model, key)].filter(Boolean).join('; '));
    } else {
      const inner = shapeField(field.type, each, path, problems);
      if (inner !== undefined) shaped[key] = inner;
    }
    path.pop();
  }
  return shaped;
}

function shapeList(
  of: FieldType,
  value: unknown,
  path: (string | number)[],
  problems: ShapeProblem[],
): unknown {
  if (!Array.isArray(value)) return expected('a list', value, path, problems);
  const shaped: unknown[] = [];
  for (const [at, each] of value.entries()) {
    path.push(at);
    shaped.push(shapeField(of, each, path, problems) ?? emptyOf(of));
    path.pop();
  }
  return shaped;
}

/** What a null in a list stands for: the type's zero value. */
function emptyOf(type: FieldType): unknown {
  if (type.kind === 'list') return [];
  if (type.kind !== 'scalar') return {};
  return type.name === 'string' ? '' : type.name === 'boolean' ? false : 0;
}

function shapeMap(
  of: FieldType,
  value: unknown,
  path: (string | number)[],
  problems: ShapeProblem[],
): unknown {
  if (!isRecord(value)) return expected('a mapping', value, path, problems);
  const shaped: Record<string, unknown> = {};
  for (const [key, each] of Object.entries(value)) {
    path.push(key);
    const inner = shapeField(of, each, path, problems) ?? (each === null ? emptyOf(of) : undefined);
    if (inner !== undefined)
      Object.defineProperty(shaped, key, {
        value: inner,
        enumerable: true,
        configurable: true,
        writable: true,
      });
    path.pop();
  }
  return shaped;
}

function shapeScalar(type: Scalar, value: unknown, path: FieldPath, problems: ShapeProblem[]): unknown {
  switch (type) {
    case 'any':
      return value;
    case 'string':
      return typeof value === 'string' ? value : expected('text', value, path, problems);
    case 'boolean':
      return typeof value === 'boolean' ? value : expected('true or false', value, path, problems);
    case 'double':
      return typeof value === 'number' ? value : expected('a number', value, path, problems);
    case 'int32':
    case 'int64':
      return isInteger(value, type) ? value : expected('a whole number', value, path, problems);
    case 'intOrString':
      if (typeof value === 'string' || isInteger(value, 'int32')) return value;
      return expected('a whole number or text', value, path, problems);
    case 'bytes':
      return shapeBytes(value, path, problems);
    case 'quantity':
      return shapeQuantity(value, path, problems);
    default:
      return shapeTime(type, value, path, problems);
  }
}

function isInteger(value: unknown, type: 'int32' | 'int64'): value is number {
  if (typeof value !== 'number' || !Number.isInteger(value)) return false;
  return type === 'int64' || (value >= -(2 ** 31) && value < 2 ** 31);
}

function shapeBytes(value: unknown, path: FieldPath, problems: ShapeProblem[]): unknown {
  if (typeof value !== 'string') return expected('base64 text', value, path, problems);
  const text = value.replace(/[\r\n]/g, '');
  if (/^[A-Za-z0-9+/]*={0,2}$/.test(text) && text.length % 4 === 0) return text;
  return report(problems, 'type', path, 'not base64 (in a Secret, plain text goes under stringData)');
}

function shapeQuantity(value: unknown, path: FieldPath, problems: ShapeProblem[]): unknown {
  if (typeof value !== 'string' && typeof value !== 'number')
    return expected('a quantity', value, path, problems);
  try {
    return canonicalQuantity(String(value));
  } catch (error) {
    if (!isSkiffError(error)) throw error;
    return report(problems, 'type', path, messageOf(error));
  }
}

function shapeTime(
  type: 'time' | 'microTime',
  value: unknown,
  path: FieldPath,
  problems: ShapeProblem[],
): unknown {
  const pattern = /^\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)$/;
  const ms = typeof value === 'string' && pattern.test(value) ? Date.parse(value) : Number.NaN;
  if (typeof value !== 'string' || Number.isNaN(ms))
    return expected('an RFC 3339 time', value, path, problems);
  if (type === 'time') return `${new Date(ms).toISOString().slice(0, 19)}Z`;
  const fraction = /\.(\d+)/.exec(value)?.[1] ?? '';
  return `${new Date(ms).toISOString().slice(0, 19)}.${fraction.slice(0, 6).padEnd(6, '0')}Z`;
}

/** `spec.containers[0].imagePullPolice: unknown field; did you mean "imagePullPolicy"?` */
export function formatShapeProblem({ path, reason }: ShapeProblem): string {
  return path.length === 0 ? reason : `${formatPath(path)}: ${reason}`;
}
