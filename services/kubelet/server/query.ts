/** Query parameters with the messages a person gets for wrong ones. */
import { SkiffError } from '#foundation/base/errors.ts';

/** `true`, `1` and a bare name are yes, as for the original. */
export function flag(query: URLSearchParams, name: string): boolean {
  const value = query.get(name);
  return value !== null && !['false', '0', 'f', 'F', 'False', 'FALSE'].includes(value);
}

/** A whole number of at least `least`; undefined if it is not there. @throws SkiffError INVALID_ARGUMENT. */
export function whole(query: URLSearchParams, name: string, least: number): number | undefined {
  const value = query.get(name);
  if (value === null || value === '') return undefined;
  const number = Number(value);
  if (Number.isSafeInteger(number) && number >= least) return number;
  throw new SkiffError(
    'INVALID_ARGUMENT',
    `query parameter ${name}="${value}" must be a whole number of at least ${least}`,
  );
}
