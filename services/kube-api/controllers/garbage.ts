/**
 * Collects what its owners left: dependents of objects that are gone, and of those deleted in the foreground.
 * https://kubernetes.io/docs/concepts/architecture/garbage-collection/
 */

import { groupVersion } from '#contracts/kubernetes/meta.ts';
import type { KubeObject, OwnerReference } from '#contracts/kubernetes/types.ts';
import type { ResourceType } from '../kinds/strategy.ts';
import { deleteObject } from '../verbs/delete.ts';
import type { ApiDeps } from '../verbs/deps.ts';
import { finishIfDone } from '../verbs/finish.ts';
import { internalCall } from './call.ts';
import type { Controller } from './controller.ts';
import { changeStored, removeStored } from './objects.ts';

interface Dependent {
  type: ResourceType;
  object: KubeObject;
}

/** Deletes dependents without owners, orphans those that are to stay, and finishes foreground deletions. */
export function garbageCollection(deps: ApiDeps): Controller {
  return {
    name: 'garbage-collection',
    watches: deps.registry.all
      .filter(({ kind }) => kind.kind !== 'Event' && kind.kind !== 'Lease')
      .map(({ resource }) => resource),
    concerns: (_resource, { type, current: { object } }) => {
      const { ownerReferences = [], deletionTimestamp } = object.metadata;
      return (
        type === 'DELETED' ||
        deletionTimestamp !== undefined ||
        (type === 'ADDED' && ownerReferences.length > 0)
      );
    },
    periodMs: 60_000,
    pass: async () => {
      const dependents = findDependents(deps);
      for (const each of dependents) await collect(deps, each);
      await finishOwners(deps, dependents);
    },
  };
}

function findDependents({ registry, store }: ApiDeps): Dependent[] {
  return registry.all.flatMap((type) =>
    store
      .list(type.resource)
      .filter(({ object }) => (object.metadata.ownerReferences ?? []).length > 0)
      .map(({ object }) => ({ type, object })),
  );
}

/** The owner; undefined if it is gone, `unknown` if its kind is not served, so that nobody can tell. */
function ownerOf(
  { registry, store }: ApiDeps,
  { metadata }: KubeObject,
  reference: OwnerReference,
): KubeObject | undefined | 'unknown' {
  const { group, version } = groupVersion(reference.apiVersion);
  const type = registry.all.find(
    ({ kind }) => kind.kind === reference.kind && kind.group === group && kind.version === version,
  );
  if (type === undefined) return 'unknown';
  const namespace = type.kind.namespaced ? metadata.namespace : undefined;
  const found = store.get(type.resource, { namespace, name: reference.name })?.object;
  return found?.metadata.uid === reference.uid ? found : undefined;
}

async function collect(deps: ApiDeps, { type, object }: Dependent): Promise<void> {
  const { metadata } = object;
  if (metadata.deletionTimestamp !== undefined) return;
  const owners = (metadata.ownerReferences ?? []).map((reference) => ownerOf(deps, object, reference));
  const stays = owners.some(
    (owner) => owner === 'unknown' || (owner !== undefined && !deletedInForeground(owner)),
  );
  const orphaning = owners.some(
    (owner) => owner !== 'unknown' && owner?.metadata.finalizers?.includes('orphan'),
  );
  if (stays || orphaning) return;
  const name = { namespace: metadata.namespace, name: metadata.name };
  const options = { preconditions: { uid: metadata.uid }, propagationPolicy: 'Background' };
  await deleteObject(internalCall(deps, type, name), name, options);
}

function deletedInForeground({ metadata }: KubeObject): boolean {
  return (
    metadata.deletionTimestamp !== undefined && (metadata.finalizers ?? []).includes('foregroundDeletion')
  );
}

async function finishOwners(deps: ApiDeps, dependents: readonly Dependent[]): Promise<void> {
  for (const type of deps.registry.all) {
    for (const { object } of deps.store.list(type.resource)) {
      const { finalizers = [], deletionTimestamp, uid } = object.metadata;
      if (deletionTimestamp === undefined) continue;
      const own = dependents.filter(({ object: each }) =>
        each.metadata.ownerReferences?.some((reference) => reference.uid === uid),
      );
      if (finalizers.includes('orphan')) {
        for (const dependent of own) await disown(deps, dependent, uid ?? '');
        await dropFinalizer(deps, type, object, 'orphan');
      } else if (
        finalizers.includes('foregroundDeletion') &&
        !own.some((each) => blocks(deps, each, uid ?? ''))
      ) {
        await dropFinalizer(deps, type, object, 'foregroundDeletion');
      }
    }
  }
}

/** Whether a dependent is still there and holds its owner back. */
function blocks({ store }: ApiDeps, { type, object }: Dependent, owner: string): boolean {
  const { namespace, name, uid } = object.metadata;
  if (store.get(type.resource, { namespace, name })?.object.metadata.uid !== uid) return false;
  return (
    object.metadata.ownerReferences?.some((each) => each.uid === owner && each.blockOwnerDeletion === true) ??
    false
  );
}

async function disown(deps: ApiDeps, { type, object }: Dependent, owner: string): Promise<void> {
  await changeStored(deps, type.resource, object, (current) => {
    const ownerReferences = current.metadata.ownerReferences?.filter((each) => each.uid !== owner);
    return { ...current, metadata: { ...current.metadata, ownerReferences } };
  });
}

/** Takes a finalizer away; the object goes if it was the last. */
export async function dropFinalizer(
  deps: Pick<ApiDeps, 'store'>,
  type: ResourceType,
  object: KubeObject,
  finalizer: string,
): Promise<void> {
  let last: KubeObject | undefined;
  await changeStored(deps, type.resource, object, (current) => {
    const finalizers = (current.metadata.finalizers ?? []).filter((each) => each !== finalizer);
    const { finalizers: _before, ...metadata } = current.metadata;
    const next = { ...current, metadata: finalizers.length === 0 ? metadata : { ...metadata, finalizers } };
    if (finishIfDone(next)) last = next;
    return next;
  });
  if (last !== undefined) await removeStored(deps, type.resource, last);
}
