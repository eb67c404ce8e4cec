/**
 * Kubernetes objects as they travel: plain JSON, times as strings. The shapes come from the model classes of
 * @kubernetes/client-node; only types are imported, so this file costs nothing at run time.
 */
import type * as models from '@kubernetes/client-node';

/** A model class as wire-form JSON: dates become RFC 3339 strings. */
export type Wire<T> = T extends Date
  ? string
  : T extends (infer E)[]
    ? Wire<E>[]
    : T extends (...args: never[]) => unknown
      ? never
      : T extends object
        ? { [K in keyof T]: Wire<T[K]> }
        : T;

/** An object as an API server or a checked manifest gives it: it has a name, and of what is in `K` everything. */
type Checked<T, K extends keyof T = never> = Omit<T, 'metadata' | K> & {
  metadata: ObjectMeta & { name: string };
} & { [P in K]-?: NonNullable<T[P]> };

export type AppArmorProfile = Wire<models.V1AppArmorProfile>;
export type ConfigMap = Checked<Wire<models.V1ConfigMap>>;
export type Container = Wire<models.V1Container>;
export type ContainerPort = Wire<models.V1ContainerPort>;
export type ContainerRestartRule = Wire<models.V1ContainerRestartRule>;
export type ContainerState = Wire<models.V1ContainerState>;
export type ContainerStatus = Wire<models.V1ContainerStatus>;
export type CoreEvent = Wire<models.CoreV1Event>;
export type DownwardAPIVolumeFile = Wire<models.V1DownwardAPIVolumeFile>;
export type EnvFromSource = Wire<models.V1EnvFromSource>;
export type EnvVar = Wire<models.V1EnvVar>;
export type EphemeralContainer = Wire<models.V1EphemeralContainer>;
export type HostAlias = Wire<models.V1HostAlias>;
export type KeyToPath = Wire<models.V1KeyToPath>;
export type Lease = Checked<Wire<models.V1Lease>>;
export type LifecycleHandler = Wire<models.V1LifecycleHandler>;
export type Namespace = Checked<Wire<models.V1Namespace>>;
export type Node = Checked<Wire<models.V1Node>>;
export type NodeStatus = Wire<models.V1NodeStatus>;
export type ObjectFieldSelector = Wire<models.V1ObjectFieldSelector>;
export type ObjectMeta = Wire<models.V1ObjectMeta>;
export type ObjectReference = Wire<models.V1ObjectReference>;
export type OwnerReference = Wire<models.V1OwnerReference>;
export type PersistentVolume = Checked<Wire<models.V1PersistentVolume>>;
export type PersistentVolumeClaim = Checked<Wire<models.V1PersistentVolumeClaim>>;
/** Pods have been checked before anybody gets one: metadata with a name, and a spec, are there. */
export type Pod = Checked<Wire<models.V1Pod>, 'spec'>;
export type PodCondition = Wire<models.V1PodCondition>;
export type PodSecurityContext = Wire<models.V1PodSecurityContext>;
export type PodSpec = Wire<models.V1PodSpec>;
export type PodStatus = Wire<models.V1PodStatus>;
export type Probe = Wire<models.V1Probe>;
export type ProjectedVolumeSource = Wire<models.V1ProjectedVolumeSource>;
export type ResourceFieldSelector = Wire<models.V1ResourceFieldSelector>;
export type ResourceRequirements = Wire<models.V1ResourceRequirements>;
export type RuntimeClass = Checked<Wire<models.V1RuntimeClass>>;
export type SeccompProfile = Wire<models.V1SeccompProfile>;
export type Secret = Checked<Wire<models.V1Secret>>;
export type SecurityContext = Wire<models.V1SecurityContext>;
export type Service = Checked<Wire<models.V1Service>>;
export type ServiceAccount = Checked<Wire<models.V1ServiceAccount>>;
export type Status = Wire<models.V1Status>;
export type Toleration = Wire<models.V1Toleration>;
export type Volume = Wire<models.V1Volume>;
export type VolumeMount = Wire<models.V1VolumeMount>;
