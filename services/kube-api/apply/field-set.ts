/**
 * Sets of fields, as managedFields have them. Inside they are paths as text, so that sets are sets; outside
 * they are the nested FieldsV1 form: `{"f:spec":{"f:containers":{"k:{\"name\":\"a\"}":{"f:image":{}}}}}`.
 */
import { isAtomic, keyValue, listRule } from '#contracts/kubernetes/schema/lists.ts';
import { type FieldType, modelOf } from '#contracts/kubernetes/schema/schema.ts';
import type { KubeObject } from '#contracts/kubernetes/types.ts';

/** Paths of fields; steps are joined by NUL, which stands in no name. */
export type FieldSet = Set<string>;

const separator = '\0';

/** Metadata that nobody owns. */
const unowned = new Set([
  'name',
  'namespace',
  'uid',
  'resourceVersion',
  'generation',
  'creationTimestamp',
  'deletionTimestamp',
  'deletionGracePeriodSeconds',
  'selfLink',
  'managedFields',
]);

/** The steps of a path. */
export function stepsOf(path: string): string[] {
  return path.split(separator);
}

/** The path of steps. */
export function pathOf(steps: readonly string[]): string {
  return steps.join(separator);
}

/** The fields of an object with their values as JSON; keyed entries stand for themselves, too, with an empty value. */
export function leavesOf(model: string, object: KubeObject): Map<string, string> {
  const leaves = new Map<string, string>();
  const { apiVersion: _version, kind: _kind, ...rest } = object;
  const metadata = Object.fromEntries(
    Object.entries(rest.metadata ?? {}).filter(([key]) => !unowned.has(key)),
  );
  const steps: string[] = [];
  const value = Object.keys(metadata).length === 0 ? withoutMetadata(rest) : { ...rest, metadata };
  for (const [key, each] of Object.entries(value)) walkField(model, key, each, steps, leaves);
  return leaves;
}

function withoutMetadata({ metadata: _metadata, ...rest }: Omit<KubeObject, 'apiVersion' | 'kind'>): object {
  return rest;
}

function walkField(
  model: string,
  field: string,
  value: unknown,
  steps: string[],
  leaves: Map<string, string>,
): void {
  if (value === undefined || value === null) return;
  const type = modelOf(model)?.get(field)?.type ?? { kind: 'scalar', name: 'any' };
  steps.push(`f:${field}`);
  walk(type, model, field, value, steps, leaves);
  steps.pop();
}

function walk(
  type: FieldType,
  owner: string,
  field: string,
  value: unknown,
  steps: string[],
  leaves: Map<string, string>,
): void {
  const leaf = () => leaves.set(pathOf(steps), JSON.stringify(value));
  const atomic = isAtomic(owner, field, type.kind === 'model' ? type.name : undefined);
  if (atomic || typeof value !== 'object' || value === null || type.kind === 'scalar') return void leaf();
  if (type.kind === 'list') {
    walkList(type.of, owner, field, value as unknown[], steps, leaves);
    return;
  }
  const entries = Object.entries(value);
  if (entries.length === 0) leaf();
  for (const [key, each] of entries) {
    if (type.kind === 'model') {
      walkField(type.name, key, each, steps, leaves);
    } else {
      steps.push(`f:${key}`);
      walk(type.of, '', '', each, steps, leaves);
      steps.pop();
    }
  }
}

function walkList(
  of: FieldType,
  owner: string,
  field: string,
  list: unknown[],
  steps: string[],
  leaves: Map<string, string>,
): void {
  const rule = listRule(owner, field);
  if (rule === undefined || list.length === 0) {
    leaves.set(pathOf(steps), JSON.stringify(list));
    return;
  }
  for (const entry of list) {
    steps.push(entryStep(rule.keys, entry));
    leaves.set(pathOf(steps), '');
    if (of.kind === 'model' && typeof entry === 'object' && entry !== null) {
      for (const [key, each] of Object.entries(entry)) walkField(of.name, key, each, steps, leaves);
    }
    steps.pop();
  }
}

/** The step to an entry of a list: by its keys, or by its value in a set. */
export function entryStep(keys: readonly string[], entry: unknown): string {
  if (keys.length === 0) return `v:${JSON.stringify(entry)}`;
  const values = Object.fromEntries([...keys].sort().map((key) => [key, keyValue(entry, key)]));
  return `k:${JSON.stringify(values)}`;
}

/** The nested form. */
export function toFieldsV1(set: FieldSet): object {
  const root: Record<string, unknown> = {};
  // NUL sorts before all else: what is below a path follows it at once.
  const sorted = [...set].sort();
  for (const [at, path] of sorted.entries()) {
    const steps = stepsOf(path);
    let node = root;
    for (const step of steps) {
      node[step] ??= {};
      node = node[step] as Record<string, unknown>;
    }
    // Marks an entry that is in the set itself, and not only as the way to others.
    if (sorted[at + 1]?.startsWith(path + separator)) node['.'] = {};
  }
  return root;
}

/** The set of a nested form. */
export function fromFieldsV1(fields: unknown): FieldSet {
  const set: FieldSet = new Set();
  const visit = (node: unknown, steps: string[]) => {
    const entries = Object.entries((node ?? {}) as Record<string, unknown>);
    if (entries.length === 0 && steps.length > 0) set.add(pathOf(steps));
    for (const [step, child] of entries) {
      if (step === '.') set.add(pathOf(steps));
      else visit(child, [...steps, step]);
    }
  };
  visit(fields, []);
  return set;
}

/** What is in `a` and not in `b`. */
export function difference(a: ReadonlySet<string>, b: { has(path: string): boolean }): FieldSet {
  return new Set([...a].filter((path) => !b.has(path)));
}
