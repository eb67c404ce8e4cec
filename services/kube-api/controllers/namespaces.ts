/** Empties namespaces that are being deleted, then lets them go. */
import type { Namespace } from '#contracts/kubernetes/types.ts';
import { deleteObject } from '../verbs/delete.ts';
import type { ApiDeps } from '../verbs/deps.ts';
import { internalCall } from './call.ts';
import type { Controller } from './controller.ts';
import { removeStored } from './objects.ts';

/** Deletes the content of namespaces that are going; objects with finalizers hold them back. */
export function namespaceDeletion(deps: ApiDeps): Controller {
  const namespaced = deps.registry.all.filter(({ kind }) => kind.namespaced);
  return {
    name: 'namespace-deletion',
    watches: ['namespaces', ...namespaced.map(({ resource }) => resource)],
    concerns: (resource, { current: { object } }) => {
      const name = resource === 'namespaces' ? object.metadata.name : (object.metadata.namespace ?? '');
      return deps.store.get('namespaces', { name })?.object.metadata.deletionTimestamp !== undefined;
    },
    pass: async () => {
      for (const { object } of deps.store.list('namespaces')) {
        const namespace = object as Namespace;
        if (namespace.metadata.deletionTimestamp === undefined) continue;
        const left = await empty(deps, namespace.metadata.name);
        const held = (namespace.metadata.finalizers ?? []).length > 0;
        if (left === 0 && !held) await removeStored(deps, 'namespaces', namespace);
      }
    },
  };

  async function empty({ store }: ApiDeps, namespace: string): Promise<number> {
    let left = 0;
    for (const type of namespaced) {
      for (const { object } of store.list(type.resource, namespace)) {
        const { name, uid, deletionTimestamp } = object.metadata;
        if (deletionTimestamp !== undefined) {
          left += 1;
          continue;
        }
        const call = internalCall(deps, type, { namespace, name });
        const { gone } = await deleteObject(call, { namespace, name }, { preconditions: { uid } });
        if (!gone) left += 1;
      }
    }
    return left;
  }
}
