/**
 * Validation problems with the original's words: `spec.containers[0].name: Required value`.
 * The forms are those of apimachinery's field.Error.
 */

/** The original's reasons, as they stand in a Status's causes. */
export type ProblemType =
  | 'FieldValueRequired'
  | 'FieldValueInvalid'
  | 'FieldValueDuplicate'
  | 'FieldValueNotSupported'
  | 'FieldValueForbidden'
  | 'FieldValueTooLong'
  | 'FieldValueTooMany'
  | 'FieldValueNotFound';

/** One thing that is wrong with an object. */
export interface FieldProblem {
  type: ProblemType;
  /** `spec.containers[0].name` */
  field: string;
  /** What is wrong, without the field: `Required value`. */
  reason: string;
}

/** Collects problems. Paths are text; `detail` follows after a colon. */
export interface Problems {
  readonly list: FieldProblem[];
  required(field: string, detail?: string): void;
  invalid(field: string, value: unknown, detail: string): void;
  /** One `invalid` for each of the details. */
  invalidAll(field: string, value: unknown, details: readonly string[]): void;
  duplicate(field: string, value: unknown): void;
  notSupported(field: string, value: unknown, supported: readonly string[]): void;
  forbidden(field: string, detail: string): void;
  tooLong(field: string, maxBytes: number): void;
  tooMany(field: string, count: number, max: number): void;
  notFound(field: string, value: unknown): void;
}

/** `spec.x: Required value` */
export function problemText({ field, reason }: FieldProblem): string {
  return `${field}: ${reason}`;
}

/** An empty collection. */
export function createProblems(): Problems {
  const list: FieldProblem[] = [];
  const add = (type: ProblemType, field: string, words: string, detail?: string) => {
    list.push({ type, field, reason: detail === undefined || detail === '' ? words : `${words}: ${detail}` });
  };
  const invalid = (field: string, value: unknown, detail: string) =>
    add('FieldValueInvalid', field, `Invalid value: ${shown(value)}`, detail);
  return {
    list,
    invalid,
    required: (field, detail) => add('FieldValueRequired', field, 'Required value', detail),
    invalidAll: (field, value, details) => {
      for (const detail of details) invalid(field, value, detail);
    },
    duplicate: (field, value) => add('FieldValueDuplicate', field, `Duplicate value: ${shown(value)}`),
    notSupported: (field, value, supported) => {
      const choices = supported.map((each) => JSON.stringify(each)).join(', ');
      add(
        'FieldValueNotSupported',
        field,
        `Unsupported value: ${shown(value)}`,
        `supported values: ${choices}`,
      );
    },
    forbidden: (field, detail) => add('FieldValueForbidden', field, 'Forbidden', detail),
    tooLong: (field, max) => add('FieldValueTooLong', field, 'Too long', `may not be more than ${max} bytes`),
    tooMany: (field, count, max) =>
      add('FieldValueTooMany', field, `Too many: ${count}`, `must have at most ${max} items`),
    notFound: (field, value) => add('FieldValueNotFound', field, `Not found: ${shown(value)}`),
  };
}

function shown(value: unknown): string {
  const text = JSON.stringify(value) ?? 'null';
  return text.length > 2000 ? `${text.slice(0, 2000)}...` : text;
}

/** Reports a value that is not one of a set; an absent one is required. */
export function checkOneOf(
  problems: Problems,
  field: string,
  value: string | undefined,
  supported: readonly string[],
): void {
  if (value === undefined || value === '') problems.required(field);
  else if (!supported.includes(value)) problems.notSupported(field, value, supported);
}

/** Reports a number below zero. */
export function checkNotNegative(problems: Problems, field: string, value: number | undefined): void {
  if (value !== undefined && value < 0) problems.invalid(field, value, 'must be greater than or equal to 0');
}
