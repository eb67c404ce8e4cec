/** The manifests of `up` and `down`: read, checked, and put in the order in which they must be created. */
import { loadManifests, problemsError } from '#contracts/kubernetes/decode/load.ts';
import { collectionPath, findKind, kinds } from '#contracts/kubernetes/kinds.ts';
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

/** What others refer to is created first; kinds that stand nowhere here come between, pods last. */
const first = [
  'Namespace',
  'PriorityClass',
  'RuntimeClass',
  'ServiceAccount',
  'ConfigMap',
  'Secret',
  'PersistentVolume',
];

function rank(kind: string): number {
  if (kind === 'Pod') return first.length + 1;
  const place = first.indexOf(kind);
  return place < 0 ? first.length : place;
}

/**
 * Reads manifest files, folders of them, or `-` for standard input.
 *
 * @throws SkiffError INVALID_ARGUMENT with file, line, field and reason of everything wrong in them.
 */
export function readManifests(files: readonly string[]): Manifest[] {
  const { objects, problems } = loadManifests(files);
  if (problems.length > 0) throw problemsError(problems);
  return inOrder(objects.map((each) => each.object as Manifest));
}

/** Sorts objects so that what others refer to comes first; the order within a kind is kept. */
export function inOrder(manifests: readonly Manifest[]): Manifest[] {
  return [...manifests].sort((a, b) => rank(a.kind) - rank(b.kind));
}

/** The collections that can hold objects that `up` made, those created last first. */
export function managedCollections(): string[] {
  const taken = kinds.filter(
    (each) => !['Node', 'Event', 'Lease', 'CertificateSigningRequest'].includes(each.kind),
  );
  return [...taken].sort((a, b) => rank(b.kind) - rank(a.kind)).map((each) => collectionPath(each));
}

/** Where objects of this one's kind and namespace are created. */
export function collectionOf({ apiVersion, kind, metadata }: Manifest): string {
  const info = findKind(apiVersion, kind);
  if (info === undefined) throw new SkiffError('INVALID_ARGUMENT', `there is no ${apiVersion} ${kind} here`);
  return collectionPath(info, info.namespaced ? (metadata.namespace ?? 'default') : undefined);
}

/** Where this object is. */
export function pathOf(manifest: Manifest): string {
  return `${collectionOf(manifest)}/${manifest.metadata.name}`;
}
