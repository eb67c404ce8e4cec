/** Durations as Go writes them: `1m30s`, `500ms`, `4h0m0s`, `0`. */
import { SkiffError } from '#foundation/base/errors.ts';

const unitMs: Record<string, number> = {
  ns: 1e-6,
  us: 1e-3,
  µs: 1e-3,
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
};

const shape = /^[+-]?(?:0|(?:\d+(?:\.\d*)?|\.\d+)(?:ns|us|µs|ms|s|m|h))+$/;

/** Whether `text` is a duration. */
export function isDuration(text: string): boolean {
  return shape.test(text);
}

/** Milliseconds of a duration. @throws SkiffError INVALID_ARGUMENT. */
export function durationMs(text: string): number {
  if (!isDuration(text))
    throw new SkiffError('INVALID_ARGUMENT', `"${text}" is not a duration such as 10s, 1m30s or 500ms`);
  let sum = 0;
  for (const [, number, unit] of text.matchAll(/(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h)/g))
    sum += Number(number) * (unitMs[unit ?? ''] ?? 0);
  return text.startsWith('-') ? -sum : sum;
}
