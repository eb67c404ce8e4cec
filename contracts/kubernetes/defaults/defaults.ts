/**
 * Fills in what an object leaves out, as the original API server does before it validates and stores.
 * `applyDefaults` is the entry; one file per family of kinds.
 */
import type { KindInfo } from '../kinds.ts';
import type {
  CSIDriver,
  EndpointSlice,
  KubeObject,
  Namespace,
  PersistentVolume,
  PersistentVolumeClaim,
  PriorityClass,
  Secret,
  StorageClass,
} from '../types.ts';
import { defaultPod } from './pod.ts';
import { defaultService } from './service.ts';
import { defaultHostPath } from './volumes.ts';

const byKind: Record<string, ((object: never) => void) | undefined> = {
  Pod: defaultPod,
  Service: defaultService,
  Secret: defaultSecret,
  Namespace: defaultNamespace,
  PersistentVolume: defaultPersistentVolume,
  PersistentVolumeClaim: defaultPersistentVolumeClaim,
  PriorityClass: defaultPriorityClass,
  StorageClass: defaultStorageClass,
  CSIDriver: defaultCsiDriver,
  EndpointSlice: defaultEndpointSlice,
};

/** Kinds whose missing spec is for validation to report. */
const nothingWithoutSpec = new Set([
  'Pod',
  'Service',
  'PersistentVolume',
  'PersistentVolumeClaim',
  'CSIDriver',
]);

/** Fills in the defaults of an object, in place. Doing it again changes nothing. */
export function applyDefaults(kind: Pick<KindInfo, 'kind'>, object: KubeObject): void {
  if (nothingWithoutSpec.has(kind.kind) && !('spec' in object)) return;
  byKind[kind.kind]?.(object as never);
}

function defaultSecret(secret: Secret): void {
  secret.type ??= 'Opaque';
  for (const [key, value] of Object.entries(secret.stringData ?? {})) {
    secret.data ??= {};
    secret.data[key] = Buffer.from(value).toString('base64');
  }
  delete secret.stringData;
}

function defaultNamespace(namespace: Namespace): void {
  if (namespace.metadata.name === undefined) return;
  namespace.metadata.labels ??= {};
  namespace.metadata.labels['kubernetes.io/metadata.name'] ??= namespace.metadata.name;
}

function defaultPersistentVolume(volume: PersistentVolume): void {
  volume.spec.persistentVolumeReclaimPolicy ??= 'Retain';
  volume.spec.volumeMode ??= 'Filesystem';
  if (volume.spec.hostPath !== undefined) defaultHostPath(volume.spec.hostPath);
  volume.status ??= {};
  volume.status.phase ??= 'Pending';
}

function defaultPersistentVolumeClaim(claim: PersistentVolumeClaim): void {
  claim.spec.volumeMode ??= 'Filesystem';
  claim.status ??= {};
  claim.status.phase ??= 'Pending';
}

function defaultPriorityClass(priority: PriorityClass): void {
  priority.preemptionPolicy ??= 'PreemptLowerPriority';
}

function defaultStorageClass(storage: StorageClass): void {
  storage.reclaimPolicy ??= 'Delete';
  storage.volumeBindingMode ??= 'Immediate';
}

function defaultCsiDriver({ spec }: CSIDriver): void {
  spec.attachRequired ??= true;
  spec.podInfoOnMount ??= false;
  spec.storageCapacity ??= false;
  spec.requiresRepublish ??= false;
  spec.seLinuxMount ??= false;
  spec.fsGroupPolicy ??= 'ReadWriteOnceWithFSType';
  spec.volumeLifecycleModes ??= ['Persistent'];
}

function defaultEndpointSlice(slice: EndpointSlice): void {
  for (const port of slice.ports ?? []) {
    port.name ??= '';
    port.protocol ??= 'TCP';
  }
}
