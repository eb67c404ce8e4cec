/** Reading and writing objects from inside, with the types they have. */
import { randomUUID } from 'node:crypto';
import { formatTime } from '#contracts/kubernetes/meta.ts';
import type { KubeObject } from '#contracts/kubernetes/types.ts';
import type { ApiDeps } from '../verbs/deps.ts';

/** What writing needs. */
export type ObjectDeps = Pick<ApiDeps, 'store' | 'clock'>;

/** Makes an object unless there is one of its name. */
export async function ensureObject(deps: ObjectDeps, resource: string, object: KubeObject): Promise<void> {
  const { namespace, name } = object.metadata;
  if (deps.store.get(resource, { namespace, name }) !== undefined) return;
  const metadata = { ...object.metadata, uid: randomUUID(), creationTimestamp: formatTime(deps.clock.now()) };
  await deps.store.edit(resource, { namespace, name }, (current) =>
    current === undefined ? { put: { ...object, metadata } } : 'keep',
  );
}

/** Changes an object that is there; `change` answers undefined for no change. */
export async function changeStored<T extends KubeObject>(
  deps: Pick<ApiDeps, 'store'>,
  resource: string,
  { metadata }: KubeObject,
  change: (current: T) => T | undefined,
): Promise<void> {
  const { namespace, name } = metadata;
  await deps.store.edit(resource, { namespace, name }, (current) => {
    if (current === undefined || current.object.metadata.uid !== metadata.uid) return 'keep';
    const next = change(current.object as T);
    return next === undefined ? 'keep' : { put: next };
  });
}

/** Removes an object if it is still the same. */
export async function removeStored(
  deps: Pick<ApiDeps, 'store'>,
  resource: string,
  { metadata }: KubeObject,
): Promise<void> {
  const { namespace, name, uid } = metadata;
  await deps.store.edit(resource, { namespace, name }, (current) =>
    current === undefined || current.object.metadata.uid !== uid ? 'keep' : { remove: current.object },
  );
}
