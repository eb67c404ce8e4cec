/** The REST paths of the kinds that `skiff up` takes. */
import { SkiffError } from '#foundation/base/errors.ts';

/** An object as a manifest has it. */
export interface Manifest {
  apiVersion: string;
  kind: string;
  metadata: {
    name: string;
    namespace?: string;
    uid?: string;
    labels?: Record<string, string>;
    annotations?: Record<string, string>;
    deletionTimestamp?: string;
  };
}

interface Kind {
  apiVersion: string;
  plural: string;
  namespaced: boolean;
}

/** In the order in which they must be created: what others refer to comes first. */
const kinds: Record<string, Kind> = {
  Namespace: { apiVersion: 'v1', plural: 'namespaces', namespaced: false },
  PriorityClass: { apiVersion: 'scheduling.k8s.io/v1', plural: 'priorityclasses', namespaced: false },
  RuntimeClass: { apiVersion: 'node.k8s.io/v1', plural: 'runtimeclasses', namespaced: false },
  ServiceAccount: { apiVersion: 'v1', plural: 'serviceaccounts', namespaced: true },
  ConfigMap: { apiVersion: 'v1', plural: 'configmaps', namespaced: true },
  Secret: { apiVersion: 'v1', plural: 'secrets', namespaced: true },
  PersistentVolume: { apiVersion: 'v1', plural: 'persistentvolumes', namespaced: false },
  PersistentVolumeClaim: { apiVersion: 'v1', plural: 'persistentvolumeclaims', namespaced: true },
  Service: { apiVersion: 'v1', plural: 'services', namespaced: true },
  Pod: { apiVersion: 'v1', plural: 'pods', namespaced: true },
};

/** Sorts manifests so that what others refer to comes first; the order within a kind is kept. */
export function inOrder(manifests: readonly Manifest[]): Manifest[] {
  const order = Object.keys(kinds);
  return [...manifests].sort((a, b) => order.indexOf(a.kind) - order.indexOf(b.kind));
}

function kindOf({ apiVersion, kind, metadata }: Manifest): Kind {
  const known = kinds[kind];
  if (known !== undefined && known.apiVersion === apiVersion) return known;
  const list = Object.entries(kinds).map(([name, each]) => `${each.apiVersion} ${name}`);
  throw new SkiffError(
    'INVALID_ARGUMENT',
    `${apiVersion} ${kind} "${metadata.name}" is not something one node runs; it takes: ${list.join(', ')}`,
  );
}

/** The kinds' names that `skiff down` looks through, last to be created first. */
export const managedCollections = Object.values(kinds)
  .reverse()
  .map((each) => `${prefixOf(each.apiVersion)}/${each.plural}`);

function prefixOf(apiVersion: string): string {
  return apiVersion.includes('/') ? `/apis/${apiVersion}` : `/api/${apiVersion}`;
}

/** Where objects of this one's kind and namespace are created. */
export function collectionPath(manifest: Manifest): string {
  const kind = kindOf(manifest);
  const namespace = kind.namespaced ? `/namespaces/${manifest.metadata.namespace ?? 'default'}` : '';
  return `${prefixOf(kind.apiVersion)}${namespace}/${kind.plural}`;
}

/** Where this object is. */
export function objectPath(manifest: Manifest): string {
  return `${collectionPath(manifest)}/${manifest.metadata.name}`;
}
