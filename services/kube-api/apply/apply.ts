/**
 * Server-side apply: an object is what its appliers say together; each owns the fields it names.
 * https://kubernetes.io/docs/reference/using-api/server-side-apply/
 */
import { isAtomic, listRule } from '#contracts/kubernetes/schema/lists.ts';
import { type FieldType, modelOf } from '#contracts/kubernetes/schema/schema.ts';
import type { KubeObject } from '#contracts/kubernetes/types.ts';
import { StatusError } from '../http/status.ts';
import type { ResourceType } from '../kinds/strategy.ts';
import { isRecord } from '../patch/merge-patch.ts';
import { difference, entryStep, leavesOf, pathOf, stepsOf } from './field-set.ts';
import { entryFor, type Manager, type Owner, ownersOf, sameManager, withOwners } from './track.ts';

/**
 * The live object with an applied configuration merged in, and its owners brought up to date.
 *
 * @param force takes over fields that others own with other values.
 * @throws StatusError 409 naming the managers and fields in conflict.
 */
export function applyConfiguration(
  type: ResourceType,
  live: KubeObject,
  config: KubeObject,
  manager: Manager,
  force: boolean,
): KubeObject {
  const { model } = type.kind;
  const wanted = leavesOf(model, config);
  const present = leavesOf(model, live);
  const entry = entryFor(type, manager, 'Apply');
  const owners = ownersOf(live);
  const own = owners.find((owner) => sameManager(owner.entry, entry));
  const others = owners.filter((owner) => owner !== own);
  const differing = new Set(
    [...wanted].filter(([path, value]) => value !== '' && present.get(path) !== value).map(([path]) => path),
  );
  const conflicts = others
    .map(({ entry: theirs, fields }) => ({
      theirs,
      paths: [...differing].filter((path) => fields.has(path) && present.has(path)),
    }))
    .filter(({ paths }) => paths.length > 0);
  if (conflicts.length > 0 && !force)
    throw conflictError(conflicts.map(({ theirs, paths }) => ({ manager: theirs, paths })));
  const merged = mergeValue({ kind: 'model', name: model }, '', '', live, config) as KubeObject;
  const names = new Set(wanted.keys());
  const left = own === undefined ? new Set<string>() : difference(own.fields, names);
  const ownedElsewhere = (path: string) =>
    others.some(({ fields }) => fields.has(path) || below(fields, path));
  const gone = [...left].filter((path) => !ownedElsewhere(path) && !below(names, path));
  for (const path of topmost(gone)) removeAt(merged, stepsOf(path));
  const kept = others.map((owner) => ({ ...owner, fields: difference(owner.fields, differing) }));
  const changed =
    own === undefined ||
    left.size > 0 ||
    differing.size > 0 ||
    [...names].some((path) => !own.fields.has(path));
  const mine: Owner = { entry: changed || own === undefined ? entry : own.entry, fields: names };
  return withOwners(merged, [...kept, mine]);
}

/** The paths that are below no other of them. */
function topmost(paths: readonly string[]): string[] {
  return paths.filter((path) => !paths.some((other) => path.startsWith(pathOf([other, '']))));
}

/** Whether a set has anything below a path. */
function below(set: ReadonlySet<string>, path: string): boolean {
  const prefix = pathOf([path, '']);
  for (const each of set) if (each.startsWith(prefix)) return true;
  return false;
}

function conflictError(conflicts: { manager: Owner['entry']; paths: string[] }[]): StatusError {
  const causes = conflicts.flatMap(({ manager, paths }) =>
    paths.map((path) => ({
      reason: 'FieldManagerConflict',
      message: `conflict with ${JSON.stringify(manager.manager)}${manager.subresource === undefined ? '' : ` with subresource ${JSON.stringify(manager.subresource)}`} using ${manager.apiVersion}`,
      field: displayPath(path),
    })),
  );
  const count = causes.length;
  const what = causes.map((cause) => `${cause.message}: ${cause.field}`).join('\n');
  return new StatusError(
    409,
    'Conflict',
    `Apply failed with ${count} conflict${count === 1 ? '' : 's'}: ${what}`,
    { causes },
  );
}

/** `.spec.containers[name="a"].image` */
function displayPath(path: string): string {
  return stepsOf(path)
    .map((step) => {
      if (step.startsWith('f:')) return `.${step.slice(2)}`;
      if (step.startsWith('v:')) return `[=${step.slice(2)}]`;
      const keys = Object.entries(JSON.parse(step.slice(2)) as Record<string, unknown>);
      return `[${keys.map(([key, value]) => `${key}=${JSON.stringify(value)}`).join(',')}]`;
    })
    .join('');
}

function mergeValue(type: FieldType, owner: string, field: string, live: unknown, config: unknown): unknown {
  if (live === undefined || isAtomic(owner, field, type.kind === 'model' ? type.name : undefined))
    return config;
  if (type.kind === 'list' && Array.isArray(config) && Array.isArray(live))
    return mergeList(type.of, owner, field, live, config);
  if (!isRecord(config) || !isRecord(live) || type.kind === 'scalar') return config;
  const merged: Record<string, unknown> = { ...live };
  for (const [key, value] of Object.entries(config)) {
    const inner: FieldType | undefined =
      type.kind === 'model' ? modelOf(type.name)?.get(key)?.type : type.kind === 'map' ? type.of : undefined;
    const next = mergeValue(
      inner ?? { kind: 'scalar', name: 'any' },
      type.kind === 'model' ? type.name : '',
      key,
      merged[key],
      value,
    );
    Object.defineProperty(merged, key, { value: next, enumerable: true, configurable: true, writable: true });
  }
  return merged;
}

function mergeList(
  of: FieldType,
  owner: string,
  field: string,
  live: unknown[],
  config: unknown[],
): unknown[] {
  const rule = listRule(owner, field);
  if (rule === undefined) return config;
  const step = (entry: unknown) => entryStep(rule.keys, entry);
  const present = new Map(live.map((entry) => [step(entry), entry]));
  const applied = config.map((entry) => mergeValue(of, '', '', present.get(step(entry)), entry));
  const named = new Set(config.map(step));
  // The applier's order first among its own; entries of others stay behind the entry they followed.
  const result = [...applied];
  for (const [at, entry] of live.entries()) {
    if (named.has(step(entry))) continue;
    const before = live[at - 1];
    const place = before === undefined ? -1 : result.findIndex((each) => step(each) === step(before));
    result.splice(place + 1, 0, entry);
  }
  return result;
}

/** Takes away what is at a path; entries of lists are found by their keys. */
function removeAt(root: unknown, steps: readonly string[]): void {
  const [step = '', ...rest] = steps;
  if (step.startsWith('f:')) {
    const key = step.slice(2);
    if (!isRecord(root)) return;
    if (rest.length === 0) delete root[key];
    else {
      root[key] = structuredClone(root[key]);
      removeAt(root[key], rest);
      if (Array.isArray(root[key]) && root[key].length === 0) delete root[key];
    }
    return;
  }
  if (!Array.isArray(root)) return;
  const at = root.findIndex((entry) => matchesStep(entry, step));
  if (at < 0) return;
  if (rest.length === 0) root.splice(at, 1);
  else removeAt(root[at], rest);
}

function matchesStep(entry: unknown, step: string): boolean {
  if (step.startsWith('v:')) return JSON.stringify(entry) === step.slice(2);
  const keys = Object.keys(JSON.parse(step.slice(2)) as object);
  return entryStep(keys, entry) === step;
}
