/** Compares what must be seen with what is seen. */

/**
 * What differs, a line each; none if all is as wanted.
 *
 * - an object: each of its fields, others do not matter;
 * - a list: every element, in this order;
 * - `~text`: a regular expression that must be found in the value;
 * - `>=2`, `<5`: a comparison of numbers;
 * - `null`: nothing there (missing, or empty);
 * - anything else: the very value.
 */
export function differences(wanted: unknown, actual: unknown, path = 'pod'): string[] {
  if (wanted === null) {
    const empty = actual === undefined || actual === null || actual === '' || isEmptyList(actual);
    return empty ? [] : [`${path} is ${show(actual)}, wanted nothing`];
  }
  if (Array.isArray(wanted)) return listDifferences(wanted, actual, path);
  if (typeof wanted === 'object') {
    if (typeof actual !== 'object' || actual === null)
      return [`${path} is ${show(actual)}, wanted ${show(wanted)}`];
    return Object.entries(wanted).flatMap(([key, each]) =>
      differences(each, (actual as Record<string, unknown>)[key], `${path}.${key}`),
    );
  }
  return agrees(wanted, actual) ? [] : [`${path} is ${show(actual)}, wanted ${show(wanted)}`];
}

function isEmptyList(value: unknown): boolean {
  return Array.isArray(value) && value.length === 0;
}

function listDifferences(wanted: readonly unknown[], actual: unknown, path: string): string[] {
  if (!Array.isArray(actual) || actual.length !== wanted.length)
    return [`${path} is ${show(actual)}, wanted ${show(wanted)}`];
  return wanted.flatMap((each, at) => differences(each, actual[at], `${path}[${at}]`));
}

function agrees(wanted: unknown, actual: unknown): boolean {
  if (typeof wanted !== 'string') return wanted === actual;
  if (wanted.startsWith('~'))
    return actual !== undefined && new RegExp(wanted.slice(1), 'm').test(String(actual));
  const comparison = /^(>=|<=|>|<) ?(-?[\d.]+)$/.exec(wanted);
  if (comparison === null) return wanted === actual;
  if (actual === undefined || actual === '' || Number.isNaN(Number(actual))) return false;
  const [left, right] = [Number(actual), Number(comparison[2])];
  const results: Record<string, boolean> = {
    '>=': left >= right,
    '<=': left <= right,
    '>': left > right,
    '<': left < right,
  };
  return results[comparison[1] ?? ''] ?? false;
}

function show(value: unknown): string {
  const text = JSON.stringify(value) ?? 'missing';
  return text.length > 600 ? `${text.slice(0, 600)}...` : text;
}

/** What a step wants of a text: all of it, or patterns in it. */
export interface WantedText {
  exactly?: string;
  has?: string | readonly string[];
}

/** What differs in a text. */
export function textDifferences({ exactly, has }: WantedText, text: string, what: string): string[] {
  const patterns = has === undefined ? [] : typeof has === 'string' ? [has] : has;
  return [
    ...(exactly === undefined || exactly === text
      ? []
      : [`${what} is ${show(text)}, wanted ${show(exactly)}`]),
    ...patterns
      .filter((pattern) => !new RegExp(pattern, 'm').test(text))
      .map((pattern) => `${what} is ${show(text)}, wanted /${pattern}/ in it`),
  ];
}
