/** What somebody probably meant who wrote a field that there is none of. */
import { type FieldType, type Model, modelOf } from '../schema/schema.ts';

/** How deep below a misplaced field its right place is looked for. */
const searchDepth = 2;

/** `did you mean "x"?`, or where the field belongs; undefined if nothing is close. */
export function suggestion(model: Model, field: string): string | undefined {
  const close = closest(field, [...model.keys()]);
  if (close !== undefined) return `did you mean "${close}"?`;
  const place = placeBelow(model, field, searchDepth);
  return place === undefined ? undefined : `it belongs in ${place}`;
}

/** The name nearest to `text`, at most a third of its letters away; undefined if none is. */
export function closest(text: string, names: readonly string[]): string | undefined {
  let best: string | undefined;
  let least = Math.max(1, Math.floor(text.length / 3)) + 1;
  for (const name of names) {
    if (Math.abs(name.length - text.length) >= least) continue;
    const away = distance(text.toLowerCase(), name.toLowerCase());
    if (away < least) {
      least = away;
      best = name;
    }
  }
  return best;
}

/** Letters to insert, delete or change (Levenshtein). */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, at) => at);
  for (let i = 1; i <= a.length; i += 1) {
    const next = [i];
    for (let j = 1; j <= b.length; j += 1) {
      const changed = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min((row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1, changed));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}

function placeBelow(model: Model, field: string, depth: number): string | undefined {
  const children = [...model]
    .map(([name, { type }]) => ({ name, child: childModel(type) }))
    .filter(({ name, child }) => child !== undefined && name !== 'status' && name !== 'metadata');
  const direct = children.find(({ child }) => modelOf(child?.model ?? '')?.has(field));
  if (direct !== undefined) return `${direct.name}${direct.child?.suffix}`;
  if (depth <= 1) return undefined;
  for (const { name, child } of children) {
    const below = modelOf(child?.model ?? '');
    const place = below === undefined ? undefined : placeBelow(below, field, depth - 1);
    if (place !== undefined) return `${name}${child?.suffix}.${place}`;
  }
  return undefined;
}

function childModel(type: FieldType): { model: string; suffix: string } | undefined {
  if (type.kind === 'model') return { model: type.name, suffix: '' };
  if (type.kind === 'list' && type.of.kind === 'model') return { model: type.of.name, suffix: '[]' };
  return undefined;
}
