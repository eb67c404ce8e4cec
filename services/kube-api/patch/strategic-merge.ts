/**
 * Strategic merge patch: a merge patch that knows which lists merge by which key, with directives.
 * https://github.com/kubernetes/community/blob/master/contributors/devel/sig-api-machinery/strategic-merge-patch.md
 */
import { isDeepStrictEqual } from 'node:util';
import { listRule } from '#contracts/kubernetes/schema/lists.ts';
import { type FieldType, modelOf } from '#contracts/kubernetes/schema/schema.ts';
import { SkiffError } from '#foundation/base/errors.ts';
import { isRecord } from './merge-patch.ts';

const directive = '$patch';
const retainKeys = '$retainKeys';
const deletePrefix = '$deleteFromPrimitiveList/';
const orderPrefix = '$setElementOrder/';

type Fields = Record<string, unknown>;

/** The patched object. @throws SkiffError INVALID_ARGUMENT for directives that cannot be followed. */
export function applyStrategicMerge(model: string, object: unknown, patch: unknown): unknown {
  if (!isRecord(patch)) throw new SkiffError('INVALID_ARGUMENT', 'a strategic merge patch is an object');
  return mergeFields({ kind: 'model', name: model }, isRecord(object) ? object : {}, patch) ?? {};
}

/** Merges an object; undefined when the patch deletes it. */
function mergeFields(type: FieldType, object: Fields, patch: Fields): Fields | undefined {
  const how = patch[directive];
  if (how === 'delete') return undefined;
  if (how === 'replace') return withoutDirectives(patch) as Fields;
  if (how !== undefined && how !== 'merge')
    throw new SkiffError('INVALID_ARGUMENT', `unknown patch type found: ${JSON.stringify(how)}`);
  const merged = retained(object, patch[retainKeys]);
  for (const [key, value] of Object.entries(patch)) {
    if (key.startsWith('$')) continue;
    if (value === null) {
      delete merged[key];
      continue;
    }
    const next = mergeField(type, key, merged[key], value, orderOf(patch, key));
    if (next === undefined) delete merged[key];
    else
      Object.defineProperty(merged, key, {
        value: next,
        enumerable: true,
        configurable: true,
        writable: true,
      });
  }
  applyListDirectives(type, merged, patch);
  return merged;
}

function retained(object: Fields, keys: unknown): Fields {
  if (keys === undefined) return { ...object };
  if (!Array.isArray(keys))
    throw new SkiffError('INVALID_ARGUMENT', '$retainKeys must be a list of field names');
  return Object.fromEntries(Object.entries(object).filter(([key]) => keys.includes(key)));
}

function orderOf(patch: Fields, key: string): unknown[] | undefined {
  const order = patch[orderPrefix + key];
  return Array.isArray(order) ? order : undefined;
}

function mergeField(
  owner: FieldType,
  key: string,
  current: unknown,
  patch: unknown,
  order: unknown[] | undefined,
): unknown {
  const type = fieldType(owner, key);
  if (isRecord(patch)) {
    if (type.kind === 'scalar' && type.name !== 'any') return patch;
    return mergeFields(type, isRecord(current) ? current : {}, patch);
  }
  if (!Array.isArray(patch)) return patch;
  const rule = owner.kind === 'model' ? listRule(owner.name, key) : undefined;
  if (rule?.mergeKey === undefined || !Array.isArray(current)) return cleanList(patch);
  const of: FieldType = type.kind === 'list' ? type.of : { kind: 'scalar', name: 'any' };
  if (rule.mergeKey === '') return mergeSet(current, patch, order);
  return mergeList(of, rule.mergeKey, current, patch, order);
}

function fieldType(owner: FieldType, key: string): FieldType {
  if (owner.kind === 'map') return owner.of;
  if (owner.kind !== 'model') return { kind: 'scalar', name: 'any' };
  return modelOf(owner.name)?.get(key)?.type ?? { kind: 'scalar', name: 'any' };
}

/** A list that replaces: without entries that only delete. */
function cleanList(patch: unknown[]): unknown[] {
  const kept = patch.filter(
    (entry) => !isRecord(entry) || entry[directive] === undefined || entry[directive] === 'merge',
  );
  return kept.map(withoutDirectives);
}

function withoutDirectives(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutDirectives);
  if (!isRecord(value)) return value;
  const fields = Object.entries(value).filter(([key, each]) => !key.startsWith('$') && each !== null);
  return Object.fromEntries(fields.map(([key, each]) => [key, withoutDirectives(each)]));
}

function mergeSet(current: unknown[], patch: unknown[], order: unknown[] | undefined): unknown[] {
  const merged = [
    ...current,
    ...patch.filter((entry) => !current.some((each) => isDeepStrictEqual(each, entry))),
  ];
  return inOrder(merged, current, order ?? patch, (entry) => entry);
}

function mergeList(
  of: FieldType,
  key: string,
  current: unknown[],
  patch: unknown[],
  order: unknown[] | undefined,
): unknown[] {
  if (patch.some((entry) => isRecord(entry) && entry[directive] === 'replace'))
    return patch.filter((entry) => !isRecord(entry) || entry[directive] !== 'replace').map(withoutDirectives);
  let merged = [...current];
  for (const entry of patch) {
    if (!isRecord(entry))
      throw new SkiffError('INVALID_ARGUMENT', `entries of a list that merges by ${key} are objects`);
    const value = entry[key];
    if (value === undefined)
      throw new SkiffError(
        'INVALID_ARGUMENT',
        `map: ${JSON.stringify(entry).slice(0, 200)} does not contain declared merge key: ${key}`,
      );
    const same = (each: unknown) => isRecord(each) && isDeepStrictEqual(each[key], value);
    if (entry[directive] === 'delete') {
      merged = merged.filter((each) => !same(each));
      continue;
    }
    const at = merged.findIndex(same);
    const next = mergeFields(of, (merged[at] as Fields | undefined) ?? {}, entry);
    if (at < 0) merged.push(next);
    else merged[at] = next;
  }
  return inOrder(merged, current, order ?? patch, (entry) => (isRecord(entry) ? entry[key] : entry));
}

/**
 * Brings a merged list into order: what `order` names in its order, the rest as it was; of one of each, the first is
 * the one that was first before, and what was not there before goes ahead.
 *
 * @param before the list as it was.
 * @param order entries, or objects with the key alone: `$setElementOrder`, or else the patch itself.
 */
function inOrder(
  list: unknown[],
  before: unknown[],
  order: unknown[],
  keyOf: (entry: unknown) => unknown,
): unknown[] {
  const indexIn = (place: unknown[], entry: unknown) =>
    place.findIndex((each) => isDeepStrictEqual(keyOf(each), keyOf(entry)));
  const rank = (entry: unknown) => indexIn(order, entry);
  const named = list.filter((entry) => rank(entry) >= 0).sort((a, b) => rank(a) - rank(b));
  const others = list.filter((entry) => rank(entry) < 0);
  const result: unknown[] = [];
  while (named.length > 0 && others.length > 0) {
    const here = indexIn(before, others[0]);
    const there = indexIn(before, named[0]);
    const from = here >= 0 && there >= 0 && here < there ? others : named;
    result.push(from.shift());
  }
  return [...result, ...named, ...others];
}

/** `$deleteFromPrimitiveList`, and orders of lists that the patch does not otherwise touch. */
function applyListDirectives(owner: FieldType, merged: Fields, patch: Fields): void {
  for (const [name, value] of Object.entries(patch)) {
    if (name.startsWith(deletePrefix)) {
      const key = name.slice(deletePrefix.length);
      if (!Array.isArray(merged[key]) || !Array.isArray(value)) continue;
      merged[key] = merged[key].filter((each) => !value.some((gone) => isDeepStrictEqual(gone, each)));
    } else if (name.startsWith(orderPrefix)) {
      const key = name.slice(orderPrefix.length);
      const list = merged[key];
      const rule = owner.kind === 'model' ? listRule(owner.name, key) : undefined;
      if (key in patch || !Array.isArray(list) || !Array.isArray(value) || rule?.mergeKey === undefined)
        continue;
      const mergeKey = rule.mergeKey === '' ? undefined : rule.mergeKey;
      merged[key] = inOrder(list, list, value, (entry) =>
        mergeKey !== undefined && isRecord(entry) ? entry[mergeKey] : entry,
      );
    }
  }
}
