/** Keeps managedFields right when objects are created and updated by other means than apply. */
import { apiVersionOf } from '#contracts/kubernetes/meta.ts';
import type { KubeObject, ManagedFieldsEntry } from '#contracts/kubernetes/types.ts';
import type { ResourceType } from '../kinds/strategy.ts';
import { type FieldSet, fromFieldsV1, leavesOf, toFieldsV1 } from './field-set.ts';

/** Who changes an object. */
export interface Manager {
  name: string;
  subresource: string | undefined;
  /** RFC 3339. */
  time: string;
}

/** A manager with its fields. */
export interface Owner {
  entry: ManagedFieldsEntry;
  fields: FieldSet;
}

/** Entries of updates that are kept apart; older ones become one. */
const maxUpdaters = 10;
const ancient = 'ancient-changes';

/** The owners that an object names. Entries that cannot be read own nothing. */
export function ownersOf({ metadata }: KubeObject): Owner[] {
  return (metadata.managedFields ?? []).map((entry) => ({ entry, fields: fromFieldsV1(entry.fieldsV1) }));
}

/** An object with these owners; those that own nothing are left out. */
export function withOwners<T extends KubeObject>(object: T, owners: readonly Owner[]): T {
  const entries = owners
    .filter(({ fields }) => fields.size > 0)
    .map(({ entry, fields }) => ({ ...entry, fieldsType: 'FieldsV1', fieldsV1: toFieldsV1(fields) }));
  const { managedFields: _before, ...metadata } = object.metadata;
  return {
    ...object,
    metadata: { ...metadata, ...(entries.length === 0 ? {} : { managedFields: entries }) },
  } as T;
}

/** The object with the fields that changed owned by `manager`, and by nobody else. */
export function trackUpdate<T extends KubeObject>(
  type: ResourceType,
  before: KubeObject | undefined,
  now: T,
  manager: Manager,
): T {
  const { model } = type.kind;
  const old = before === undefined ? new Map<string, string>() : leavesOf(model, before);
  const leaves = leavesOf(model, now);
  const sent = now.metadata.managedFields ?? [];
  const base = sent.length > 0 ? now : (before ?? now);
  const changed = [...leaves].filter(([path, value]) => old.get(path) !== value).map(([path]) => path);
  const removed = [...old.keys()].some((path) => !leaves.has(path));
  if (changed.length === 0 && !removed) return withOwners(now, ownersOf(base));
  return withOwners(
    now,
    moveOwnership(ownersOf(base), leaves, new Set(changed), entryFor(type, manager, 'Update')),
  );
}

/** A new object whose fields belong to its applier, as far as the applier named them. */
export function trackApplied<T extends KubeObject>(
  type: ResourceType,
  sent: KubeObject,
  now: T,
  manager: Manager,
): T {
  const fields = new Set(leavesOf(type.kind.model, sent).keys());
  return withOwners(now, [{ entry: entryFor(type, manager, 'Apply'), fields }]);
}

/** The entry of a manager, without fields. */
export function entryFor(
  type: ResourceType,
  manager: Manager,
  operation: 'Apply' | 'Update',
): ManagedFieldsEntry {
  return {
    manager: manager.name,
    operation,
    apiVersion: apiVersionOf(type.kind),
    time: manager.time,
    fieldsType: 'FieldsV1',
    ...(manager.subresource === undefined ? {} : { subresource: manager.subresource }),
  };
}

/** Whether two entries are one manager's. */
export function sameManager(a: ManagedFieldsEntry, b: ManagedFieldsEntry): boolean {
  return (
    a.manager === b.manager && a.operation === b.operation && (a.subresource ?? '') === (b.subresource ?? '')
  );
}

function moveOwnership(
  owners: Owner[],
  leaves: ReadonlyMap<string, string>,
  changed: ReadonlySet<string>,
  entry: ManagedFieldsEntry,
): Owner[] {
  const kept = owners.map((owner) => ({
    entry: owner.entry,
    // Entries of lists are there while anything in them is; values belong to who wrote them last.
    fields: new Set(
      [...owner.fields].filter((path) => leaves.has(path) && (!changed.has(path) || leaves.get(path) === '')),
    ),
  }));
  const own = kept.find((owner) => sameManager(owner.entry, entry));
  if (own === undefined) kept.push({ entry, fields: new Set(changed) });
  else {
    for (const path of changed) own.fields.add(path);
    if (changed.size > 0) own.entry = { ...own.entry, time: entry.time };
  }
  return foldOldest(kept);
}

function foldOldest(owners: Owner[]): Owner[] {
  const updates = owners.filter(({ entry }) => entry.operation === 'Update');
  if (updates.length <= maxUpdaters) return owners;
  const oldest = updates.sort((a, b) => ((a.entry.time ?? '') < (b.entry.time ?? '') ? -1 : 1)).slice(0, 2);
  const [first] = oldest;
  if (first === undefined) return owners;
  const folded: Owner = {
    entry: { ...first.entry, manager: ancient },
    fields: new Set(oldest.flatMap(({ fields }) => [...fields])),
  };
  return [folded, ...owners.filter((owner) => !oldest.includes(owner))];
}
