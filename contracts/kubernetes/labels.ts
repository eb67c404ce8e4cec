/**
 * Label selectors: the query form `a=b,c in (x,y),!d` and the object form with matchLabels and matchExpressions.
 * https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#label-selectors
 */
import { SkiffError } from '#foundation/base/errors.ts';
import type { LabelSelector } from './types.ts';
import { labelKeyProblems, labelValueProblems } from './validation/names.ts';

/** Labels of an object; left out for none. */
export type Labels = Readonly<Record<string, string>> | undefined;

/** One condition; all of a selector's must hold. */
export interface LabelRequirement {
  key: string;
  operator: 'in' | 'notin' | 'exists' | '!' | 'gt' | 'lt';
  values: readonly string[];
}

/** Whether labels fulfil all requirements. An absent key fulfils `notin` and `!` only. */
export function matchesLabels(requirements: readonly LabelRequirement[], labels: Labels): boolean {
  return requirements.every((each) => fulfils(each, labels));
}

function fulfils({ key, operator, values }: LabelRequirement, labels: Labels): boolean {
  const value = labels !== undefined && Object.hasOwn(labels, key) ? labels[key] : undefined;
  switch (operator) {
    case 'exists':
      return value !== undefined;
    case '!':
      return value === undefined;
    case 'in':
      return value !== undefined && values.includes(value);
    case 'notin':
      return value === undefined || !values.includes(value);
    default:
      return compares(operator, value, values[0] ?? '');
  }
}

function compares(operator: 'gt' | 'lt', value: string | undefined, limit: string): boolean {
  if (value === undefined || !/^[+-]?\d+$/.test(value)) return false;
  return operator === 'gt' ? BigInt(value) > BigInt(limit) : BigInt(value) < BigInt(limit);
}

/**
 * Reads the query form.
 *
 * @throws SkiffError INVALID_ARGUMENT saying where the selector is wrong.
 */
export function parseLabelSelector(text: string): LabelRequirement[] {
  const requirements: LabelRequirement[] = [];
  let rest = text.trim();
  while (rest !== '') {
    const [requirement, length] = takeRequirement(rest, text);
    checkRequirement(requirement, text);
    requirements.push(requirement);
    rest = rest.slice(length).trim();
    if (rest === '') break;
    if (!rest.startsWith(',')) throw badSelector(text, `"," expected before "${rest}"`);
    rest = rest.slice(1).trim();
    if (rest === '') throw badSelector(text, 'it ends with a comma');
  }
  return requirements;
}

function takeRequirement(rest: string, whole: string): [LabelRequirement, number] {
  const absent = /^!\s*([^\s,=!<>()]+)/.exec(rest);
  if (absent !== null) return [{ key: absent[1] ?? '', operator: '!', values: [] }, absent[0].length];
  const set = /^([^\s,=!<>()]+)\s+(in|notin)\s*\(([^()]*)\)/.exec(rest);
  if (set !== null) {
    const values = (set[3] ?? '').split(',').map((value) => value.trim());
    return [{ key: set[1] ?? '', operator: set[2] === 'in' ? 'in' : 'notin', values }, set[0].length];
  }
  const equality = /^([^\s,=!<>()]+)\s*(==|=|!=|>|<)\s*([^\s,=!<>()]*)/.exec(rest);
  if (equality !== null) {
    const operators = { '=': 'in', '==': 'in', '!=': 'notin', '>': 'gt', '<': 'lt' } as const;
    const operator = operators[equality[2] as keyof typeof operators];
    return [{ key: equality[1] ?? '', operator, values: [equality[3] ?? ''] }, equality[0].length];
  }
  const present = /^([^\s,=!<>()]+)/.exec(rest);
  if (present !== null) return [{ key: present[1] ?? '', operator: 'exists', values: [] }, present[0].length];
  throw badSelector(whole, `found '${rest.slice(0, 20)}', expected: !, identifier, or 'end of string'`);
}

function checkRequirement({ key, operator, values }: LabelRequirement, text: string): void {
  const [keyProblem] = labelKeyProblems(key);
  if (keyProblem !== undefined) throw badSelector(text, `key "${key}": ${keyProblem}`);
  if (operator === 'gt' || operator === 'lt') {
    if (!/^[+-]?\d+$/.test(values[0] ?? '')) throw badSelector(text, `"${values[0]}" is not an integer`);
    return;
  }
  for (const value of values) {
    const [problem] = labelValueProblems(value);
    if (problem !== undefined) throw badSelector(text, `value "${value}": ${problem}`);
  }
}

function badSelector(text: string, reason: string): SkiffError {
  return new SkiffError(
    'INVALID_ARGUMENT',
    `unable to parse requirement: label selector "${text}": ${reason}`,
  );
}

/** Requirements of the object form; an empty selector has none and so matches everything. */
export function selectorRequirements(selector: LabelSelector): LabelRequirement[] {
  const operators: Record<string, LabelRequirement['operator']> = {
    In: 'in',
    NotIn: 'notin',
    Exists: 'exists',
    DoesNotExist: '!',
  };
  const equal = Object.entries(selector.matchLabels ?? {}).map(([key, value]) => ({
    key,
    operator: 'in' as const,
    values: [value],
  }));
  const expressions = (selector.matchExpressions ?? []).map(({ key, operator, values = [] }) => ({
    key,
    operator: operators[operator] ?? ('exists' as const),
    values,
  }));
  return [...equal, ...expressions];
}
