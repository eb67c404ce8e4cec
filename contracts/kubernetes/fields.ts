/**
 * Field selectors: `metadata.name=web,status.phase!=Running`. `\` escapes `,`, `=` and `\`.
 * https://kubernetes.io/docs/concepts/overview/working-with-objects/field-selectors/
 */
import { SkiffError } from '#foundation/base/errors.ts';

/** One condition; all of a selector's must hold. */
export interface FieldRequirement {
  field: string;
  equal: boolean;
  value: string;
}

/**
 * Reads a field selector.
 *
 * @throws SkiffError INVALID_ARGUMENT if a part has no operator.
 */
export function parseFieldSelector(text: string): FieldRequirement[] {
  return splitUnescaped(text)
    .filter((part) => part !== '')
    .map((part) => {
      const match = /^((?:[^\\=!]|\\.)*?)(==|=|!=)(.*)$/s.exec(part);
      if (match === null) {
        throw new SkiffError('INVALID_ARGUMENT', `invalid selector: '${text}'; can't understand '${part}'`);
      }
      const [, field = '', operator = '', value = ''] = match;
      return { field, equal: operator !== '!=', value: value.replace(/\\(.)/gs, '$1') };
    });
}

function splitUnescaped(text: string): string[] {
  const parts: string[] = [];
  let current = '';
  for (let at = 0; at < text.length; at += 1) {
    const character = text[at] ?? '';
    if (character === '\\') {
      current += character + (text[at + 1] ?? '');
      at += 1;
    } else if (character === ',') {
      parts.push(current);
      current = '';
    } else {
      current += character;
    }
  }
  parts.push(current);
  return parts;
}

/** The value at a dotted path as a selector compares it; empty for an absent one. */
export function fieldValue(object: unknown, path: string): string {
  let current = object;
  for (const part of path.split('.')) {
    if (typeof current !== 'object' || current === null) return '';
    current = (current as Record<string, unknown>)[part];
  }
  return current === undefined || current === null ? '' : String(current);
}

/** Whether an object fulfils all requirements. */
export function matchesFields(requirements: readonly FieldRequirement[], object: unknown): boolean {
  return requirements.every(({ field, equal, value }) => (fieldValue(object, field) === value) === equal);
}
