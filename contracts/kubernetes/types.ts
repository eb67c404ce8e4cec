/**
 * Kubernetes objects as they travel: plain JSON, times as RFC 3339 strings, quantities as strings. The shapes
 * come from the model classes of @kubernetes/client-node (release 1.36); only types are imported, so this file
 * costs nothing at run time.
 *
 * What every stored object has (`metadata`, and `spec` where an object is nothing without one) is required
 * here: decoding, defaults and validation see to it before anything else looks at an object.
 */
import type * as models from '@kubernetes/client-node';

/** A model class as wire-form JSON: dates become RFC 3339 strings, untyped values are `unknown`. */
export type Wire<T> = 0 extends 1 & T
  ? unknown
  : T extends Date
    ? string
    : T extends (infer E)[]
      ? Wire<E>[]
      : T extends object
        ? { [K in keyof T]: Wire<T[K]> }
        : T;

/** Metadata of an object that exists: it has a name. */
export type NamedMeta = ObjectMeta & { name: string };

/** An object that exists: metadata with a name, and the fields `K`, are always there. */
export type Stored<T, K extends keyof T = never> = Omit<T, K | 'metadata'> & {
  [P in K]-?: NonNullable<T[P]>;
} & { metadata: NamedMeta };

/** What all kinds of stored objects share. */
export interface KubeObject {
  apiVersion?: string;
  kind?: string;
  metadata: NamedMeta;
}

/** A collection as the API answers it. */
export interface KubeList<T> {
  apiVersion?: string;
  kind?: string;
  metadata: ListMeta;
  items: T[];
}

/** A number, or a name or percentage. */
export type IntOrString = models.IntOrString;

export type APIGroup = Wire<models.V1APIGroup>;
export type APIGroupList = Wire<models.V1APIGroupList>;
export type APIResource = Wire<models.V1APIResource>;
export type APIResourceList = Wire<models.V1APIResourceList>;
export type APIVersions = Wire<models.V1APIVersions>;
export type AWSElasticBlockStoreVolumeSource = Wire<models.V1AWSElasticBlockStoreVolumeSource>;
export type Affinity = Wire<models.V1Affinity>;
export type AppArmorProfile = Wire<models.V1AppArmorProfile>;
export type AttachedVolume = Wire<models.V1AttachedVolume>;
export type AzureDiskVolumeSource = Wire<models.V1AzureDiskVolumeSource>;
export type AzureFilePersistentVolumeSource = Wire<models.V1AzureFilePersistentVolumeSource>;
export type AzureFileVolumeSource = Wire<models.V1AzureFileVolumeSource>;
export type Binding = Wire<models.V1Binding>;
export type BoundObjectReference = Wire<models.V1BoundObjectReference>;
export type CSIDriver = Stored<Wire<models.V1CSIDriver>>;
export type CSIDriverSpec = Wire<models.V1CSIDriverSpec>;
export type CSINode = Stored<Wire<models.V1CSINode>>;
export type CSINodeDriver = Wire<models.V1CSINodeDriver>;
export type CSINodeSpec = Wire<models.V1CSINodeSpec>;
export type CSIPersistentVolumeSource = Wire<models.V1CSIPersistentVolumeSource>;
export type CSIVolumeSource = Wire<models.V1CSIVolumeSource>;
export type Capabilities = Wire<models.V1Capabilities>;
export type CephFSPersistentVolumeSource = Wire<models.V1CephFSPersistentVolumeSource>;
export type CephFSVolumeSource = Wire<models.V1CephFSVolumeSource>;
export type CertificateSigningRequest = Stored<Wire<models.V1CertificateSigningRequest>>;
export type CertificateSigningRequestCondition = Wire<models.V1CertificateSigningRequestCondition>;
export type CertificateSigningRequestSpec = Wire<models.V1CertificateSigningRequestSpec>;
export type CertificateSigningRequestStatus = Wire<models.V1CertificateSigningRequestStatus>;
export type CinderPersistentVolumeSource = Wire<models.V1CinderPersistentVolumeSource>;
export type CinderVolumeSource = Wire<models.V1CinderVolumeSource>;
export type ClientIPConfig = Wire<models.V1ClientIPConfig>;
export type ClusterTrustBundleProjection = Wire<models.V1ClusterTrustBundleProjection>;
export type Condition = Wire<models.V1Condition>;
export type ConfigMap = Stored<Wire<models.V1ConfigMap>>;
export type ConfigMapEnvSource = Wire<models.V1ConfigMapEnvSource>;
export type ConfigMapKeySelector = Wire<models.V1ConfigMapKeySelector>;
export type ConfigMapNodeConfigSource = Wire<models.V1ConfigMapNodeConfigSource>;
export type ConfigMapProjection = Wire<models.V1ConfigMapProjection>;
export type ConfigMapVolumeSource = Wire<models.V1ConfigMapVolumeSource>;
export type Container = Wire<models.V1Container>;
export type ContainerExtendedResourceRequest = Wire<models.V1ContainerExtendedResourceRequest>;
export type ContainerImage = Wire<models.V1ContainerImage>;
export type ContainerPort = Wire<models.V1ContainerPort>;
export type ContainerResizePolicy = Wire<models.V1ContainerResizePolicy>;
export type ContainerRestartRule = Wire<models.V1ContainerRestartRule>;
export type ContainerRestartRuleOnExitCodes = Wire<models.V1ContainerRestartRuleOnExitCodes>;
export type ContainerState = Wire<models.V1ContainerState>;
export type ContainerStateRunning = Wire<models.V1ContainerStateRunning>;
export type ContainerStateTerminated = Wire<models.V1ContainerStateTerminated>;
export type ContainerStateWaiting = Wire<models.V1ContainerStateWaiting>;
export type ContainerStatus = Wire<models.V1ContainerStatus>;
export type ContainerUser = Wire<models.V1ContainerUser>;
export type CoreEvent = Stored<Wire<models.CoreV1Event>>;
export type CoreV1ResourceClaim = Wire<models.CoreV1ResourceClaim>;
export type DaemonEndpoint = Wire<models.V1DaemonEndpoint>;
export type DeleteOptions = Wire<models.V1DeleteOptions>;
export type DownwardAPIProjection = Wire<models.V1DownwardAPIProjection>;
export type DownwardAPIVolumeFile = Wire<models.V1DownwardAPIVolumeFile>;
export type DownwardAPIVolumeSource = Wire<models.V1DownwardAPIVolumeSource>;
export type EmptyDirVolumeSource = Wire<models.V1EmptyDirVolumeSource>;
export type Endpoint = Wire<models.V1Endpoint>;
export type EndpointConditions = Wire<models.V1EndpointConditions>;
export type EndpointHints = Wire<models.V1EndpointHints>;
export type EndpointPort = Wire<models.DiscoveryV1EndpointPort>;
export type EndpointSlice = Stored<Wire<models.V1EndpointSlice>>;
export type EnvFromSource = Wire<models.V1EnvFromSource>;
export type EnvVar = Wire<models.V1EnvVar>;
export type EnvVarSource = Wire<models.V1EnvVarSource>;
export type EphemeralContainer = Wire<models.V1EphemeralContainer>;
export type EphemeralVolumeSource = Wire<models.V1EphemeralVolumeSource>;
export type EventSeries = Wire<models.CoreV1EventSeries>;
/** An event as events.k8s.io has it. */
export type NewEvent = Stored<Wire<models.EventsV1Event>>;
export type EventSource = Wire<models.V1EventSource>;
export type Eviction = Wire<models.V1Eviction>;
export type ExecAction = Wire<models.V1ExecAction>;
export type FCVolumeSource = Wire<models.V1FCVolumeSource>;
export type FieldSelectorAttributes = Wire<models.V1FieldSelectorAttributes>;
export type FieldSelectorRequirement = Wire<models.V1FieldSelectorRequirement>;
export type FileKeySelector = Wire<models.V1FileKeySelector>;
export type FlexPersistentVolumeSource = Wire<models.V1FlexPersistentVolumeSource>;
export type FlexVolumeSource = Wire<models.V1FlexVolumeSource>;
export type FlockerVolumeSource = Wire<models.V1FlockerVolumeSource>;
export type ForNode = Wire<models.V1ForNode>;
export type ForZone = Wire<models.V1ForZone>;
export type GCEPersistentDiskVolumeSource = Wire<models.V1GCEPersistentDiskVolumeSource>;
export type GRPCAction = Wire<models.V1GRPCAction>;
export type GitRepoVolumeSource = Wire<models.V1GitRepoVolumeSource>;
export type GlusterfsPersistentVolumeSource = Wire<models.V1GlusterfsPersistentVolumeSource>;
export type GlusterfsVolumeSource = Wire<models.V1GlusterfsVolumeSource>;
export type GroupVersionForDiscovery = Wire<models.V1GroupVersionForDiscovery>;
export type HTTPGetAction = Wire<models.V1HTTPGetAction>;
export type HTTPHeader = Wire<models.V1HTTPHeader>;
export type HostAlias = Wire<models.V1HostAlias>;
export type HostIP = Wire<models.V1HostIP>;
export type HostPathVolumeSource = Wire<models.V1HostPathVolumeSource>;
export type ISCSIPersistentVolumeSource = Wire<models.V1ISCSIPersistentVolumeSource>;
export type ISCSIVolumeSource = Wire<models.V1ISCSIVolumeSource>;
export type ImageVolumeSource = Wire<models.V1ImageVolumeSource>;
export type ImageVolumeStatus = Wire<models.V1ImageVolumeStatus>;
export type KeyToPath = Wire<models.V1KeyToPath>;
export type LabelSelector = Wire<models.V1LabelSelector>;
export type LabelSelectorAttributes = Wire<models.V1LabelSelectorAttributes>;
export type LabelSelectorRequirement = Wire<models.V1LabelSelectorRequirement>;
export type Lease = Stored<Wire<models.V1Lease>>;
export type LeaseSpec = Wire<models.V1LeaseSpec>;
export type Lifecycle = Wire<models.V1Lifecycle>;
export type LifecycleHandler = Wire<models.V1LifecycleHandler>;
export type LinuxContainerUser = Wire<models.V1LinuxContainerUser>;
export type ListMeta = Wire<models.V1ListMeta>;
export type LoadBalancerIngress = Wire<models.V1LoadBalancerIngress>;
export type LoadBalancerStatus = Wire<models.V1LoadBalancerStatus>;
export type LocalObjectReference = Wire<models.V1LocalObjectReference>;
export type LocalSubjectAccessReview = Wire<models.V1LocalSubjectAccessReview>;
export type LocalVolumeSource = Wire<models.V1LocalVolumeSource>;
export type ManagedFieldsEntry = Wire<models.V1ManagedFieldsEntry>;
export type ModifyVolumeStatus = Wire<models.V1ModifyVolumeStatus>;
export type NFSVolumeSource = Wire<models.V1NFSVolumeSource>;
export type Namespace = Stored<Wire<models.V1Namespace>>;
export type NamespaceCondition = Wire<models.V1NamespaceCondition>;
export type NamespaceSpec = Wire<models.V1NamespaceSpec>;
export type NamespaceStatus = Wire<models.V1NamespaceStatus>;
export type Node = Stored<Wire<models.V1Node>, 'spec'>;
export type NodeAddress = Wire<models.V1NodeAddress>;
export type NodeAffinity = Wire<models.V1NodeAffinity>;
export type NodeAllocatableResourceClaimStatus = Wire<models.V1NodeAllocatableResourceClaimStatus>;
export type NodeCondition = Wire<models.V1NodeCondition>;
export type NodeConfigSource = Wire<models.V1NodeConfigSource>;
export type NodeConfigStatus = Wire<models.V1NodeConfigStatus>;
export type NodeDaemonEndpoints = Wire<models.V1NodeDaemonEndpoints>;
export type NodeFeatures = Wire<models.V1NodeFeatures>;
export type NodeRuntimeHandler = Wire<models.V1NodeRuntimeHandler>;
export type NodeRuntimeHandlerFeatures = Wire<models.V1NodeRuntimeHandlerFeatures>;
export type NodeSelector = Wire<models.V1NodeSelector>;
export type NodeSelectorRequirement = Wire<models.V1NodeSelectorRequirement>;
export type NodeSelectorTerm = Wire<models.V1NodeSelectorTerm>;
export type NodeSpec = Wire<models.V1NodeSpec>;
export type NodeStatus = Wire<models.V1NodeStatus>;
export type NodeSwapStatus = Wire<models.V1NodeSwapStatus>;
export type NodeSystemInfo = Wire<models.V1NodeSystemInfo>;
export type NonResourceAttributes = Wire<models.V1NonResourceAttributes>;
export type NonResourceRule = Wire<models.V1NonResourceRule>;
export type ObjectFieldSelector = Wire<models.V1ObjectFieldSelector>;
export type ObjectMeta = Wire<models.V1ObjectMeta>;
export type ObjectReference = Wire<models.V1ObjectReference>;
export type Overhead = Wire<models.V1Overhead>;
export type OwnerReference = Wire<models.V1OwnerReference>;
export type PersistentVolume = Stored<Wire<models.V1PersistentVolume>, 'spec'>;
export type PersistentVolumeClaim = Stored<Wire<models.V1PersistentVolumeClaim>, 'spec'>;
export type PersistentVolumeClaimCondition = Wire<models.V1PersistentVolumeClaimCondition>;
export type PersistentVolumeClaimSpec = Wire<models.V1PersistentVolumeClaimSpec>;
export type PersistentVolumeClaimStatus = Wire<models.V1PersistentVolumeClaimStatus>;
export type PersistentVolumeClaimTemplate = Wire<models.V1PersistentVolumeClaimTemplate>;
export type PersistentVolumeClaimVolumeSource = Wire<models.V1PersistentVolumeClaimVolumeSource>;
export type PersistentVolumeSpec = Wire<models.V1PersistentVolumeSpec>;
export type PersistentVolumeStatus = Wire<models.V1PersistentVolumeStatus>;
export type PhotonPersistentDiskVolumeSource = Wire<models.V1PhotonPersistentDiskVolumeSource>;
export type Pod = Stored<Wire<models.V1Pod>, 'spec'>;
export type PodAffinity = Wire<models.V1PodAffinity>;
export type PodAffinityTerm = Wire<models.V1PodAffinityTerm>;
export type PodAntiAffinity = Wire<models.V1PodAntiAffinity>;
export type PodCertificateProjection = Wire<models.V1PodCertificateProjection>;
export type PodCondition = Wire<models.V1PodCondition>;
export type PodDNSConfig = Wire<models.V1PodDNSConfig>;
export type PodDNSConfigOption = Wire<models.V1PodDNSConfigOption>;
export type PodExtendedResourceClaimStatus = Wire<models.V1PodExtendedResourceClaimStatus>;
export type PodIP = Wire<models.V1PodIP>;
export type PodOS = Wire<models.V1PodOS>;
export type PodReadinessGate = Wire<models.V1PodReadinessGate>;
export type PodResourceClaim = Wire<models.V1PodResourceClaim>;
export type PodResourceClaimStatus = Wire<models.V1PodResourceClaimStatus>;
export type PodSchedulingGate = Wire<models.V1PodSchedulingGate>;
export type PodSchedulingGroup = Wire<models.V1PodSchedulingGroup>;
export type PodSecurityContext = Wire<models.V1PodSecurityContext>;
export type PodSpec = Wire<models.V1PodSpec>;
export type PodStatus = Wire<models.V1PodStatus>;
export type PodTemplate = Stored<Wire<models.V1PodTemplate>>;
export type PodTemplateSpec = Wire<models.V1PodTemplateSpec>;
export type PortStatus = Wire<models.V1PortStatus>;
export type PortworxVolumeSource = Wire<models.V1PortworxVolumeSource>;
export type Preconditions = Wire<models.V1Preconditions>;
export type PreferredSchedulingTerm = Wire<models.V1PreferredSchedulingTerm>;
export type PriorityClass = Stored<Wire<models.V1PriorityClass>>;
export type Probe = Wire<models.V1Probe>;
export type ProjectedVolumeSource = Wire<models.V1ProjectedVolumeSource>;
export type QuobyteVolumeSource = Wire<models.V1QuobyteVolumeSource>;
export type RBDPersistentVolumeSource = Wire<models.V1RBDPersistentVolumeSource>;
export type RBDVolumeSource = Wire<models.V1RBDVolumeSource>;
export type ResourceAttributes = Wire<models.V1ResourceAttributes>;
export type ResourceFieldSelector = Wire<models.V1ResourceFieldSelector>;
export type ResourceHealth = Wire<models.V1ResourceHealth>;
export type ResourceRequirements = Wire<models.V1ResourceRequirements>;
export type ResourceRule = Wire<models.V1ResourceRule>;
export type ResourceStatus = Wire<models.V1ResourceStatus>;
export type RuntimeClass = Stored<Wire<models.V1RuntimeClass>>;
export type SELinuxOptions = Wire<models.V1SELinuxOptions>;
export type ScaleIOPersistentVolumeSource = Wire<models.V1ScaleIOPersistentVolumeSource>;
export type ScaleIOVolumeSource = Wire<models.V1ScaleIOVolumeSource>;
export type Scheduling = Wire<models.V1Scheduling>;
export type SeccompProfile = Wire<models.V1SeccompProfile>;
export type Secret = Stored<Wire<models.V1Secret>>;
export type SecretEnvSource = Wire<models.V1SecretEnvSource>;
export type SecretKeySelector = Wire<models.V1SecretKeySelector>;
export type SecretProjection = Wire<models.V1SecretProjection>;
export type SecretReference = Wire<models.V1SecretReference>;
export type SecretVolumeSource = Wire<models.V1SecretVolumeSource>;
export type SecurityContext = Wire<models.V1SecurityContext>;
export type SelfSubjectAccessReview = Wire<models.V1SelfSubjectAccessReview>;
export type SelfSubjectAccessReviewSpec = Wire<models.V1SelfSubjectAccessReviewSpec>;
export type SelfSubjectReview = Wire<models.V1SelfSubjectReview>;
export type SelfSubjectReviewStatus = Wire<models.V1SelfSubjectReviewStatus>;
export type SelfSubjectRulesReview = Wire<models.V1SelfSubjectRulesReview>;
export type SelfSubjectRulesReviewSpec = Wire<models.V1SelfSubjectRulesReviewSpec>;
export type ServerAddressByClientCIDR = Wire<models.V1ServerAddressByClientCIDR>;
export type Service = Stored<Wire<models.V1Service>, 'spec'>;
export type ServiceAccount = Stored<Wire<models.V1ServiceAccount>>;
export type ServiceAccountTokenProjection = Wire<models.V1ServiceAccountTokenProjection>;
export type ServicePort = Wire<models.V1ServicePort>;
export type ServiceSpec = Wire<models.V1ServiceSpec>;
export type ServiceStatus = Wire<models.V1ServiceStatus>;
export type SessionAffinityConfig = Wire<models.V1SessionAffinityConfig>;
export type ShardInfo = Wire<models.V1ShardInfo>;
export type SleepAction = Wire<models.V1SleepAction>;
export type Status = Wire<models.V1Status>;
export type StatusCause = Wire<models.V1StatusCause>;
export type StatusDetails = Wire<models.V1StatusDetails>;
export type StorageClass = Stored<Wire<models.V1StorageClass>>;
export type StorageOSPersistentVolumeSource = Wire<models.V1StorageOSPersistentVolumeSource>;
export type StorageOSVolumeSource = Wire<models.V1StorageOSVolumeSource>;
export type StorageTokenRequest = Wire<models.StorageV1TokenRequest>;
export type SubjectAccessReview = Wire<models.V1SubjectAccessReview>;
export type SubjectAccessReviewSpec = Wire<models.V1SubjectAccessReviewSpec>;
export type SubjectAccessReviewStatus = Wire<models.V1SubjectAccessReviewStatus>;
export type SubjectRulesReviewStatus = Wire<models.V1SubjectRulesReviewStatus>;
export type Sysctl = Wire<models.V1Sysctl>;
export type TCPSocketAction = Wire<models.V1TCPSocketAction>;
export type Taint = Wire<models.V1Taint>;
export type TokenRequest = Wire<models.AuthenticationV1TokenRequest>;
export type TokenRequestSpec = Wire<models.V1TokenRequestSpec>;
export type TokenRequestStatus = Wire<models.V1TokenRequestStatus>;
export type TokenReview = Wire<models.V1TokenReview>;
export type TokenReviewSpec = Wire<models.V1TokenReviewSpec>;
export type TokenReviewStatus = Wire<models.V1TokenReviewStatus>;
export type Toleration = Wire<models.V1Toleration>;
export type TopologySelectorLabelRequirement = Wire<models.V1TopologySelectorLabelRequirement>;
export type TopologySelectorTerm = Wire<models.V1TopologySelectorTerm>;
export type TopologySpreadConstraint = Wire<models.V1TopologySpreadConstraint>;
export type TypedLocalObjectReference = Wire<models.V1TypedLocalObjectReference>;
export type TypedObjectReference = Wire<models.V1TypedObjectReference>;
export type UserInfo = Wire<models.V1UserInfo>;
export type Volume = Wire<models.V1Volume>;
export type VolumeAttachment = Stored<Wire<models.V1VolumeAttachment>>;
export type VolumeAttachmentSource = Wire<models.V1VolumeAttachmentSource>;
export type VolumeAttachmentSpec = Wire<models.V1VolumeAttachmentSpec>;
export type VolumeAttachmentStatus = Wire<models.V1VolumeAttachmentStatus>;
export type VolumeDevice = Wire<models.V1VolumeDevice>;
export type VolumeError = Wire<models.V1VolumeError>;
export type VolumeMount = Wire<models.V1VolumeMount>;
export type VolumeMountStatus = Wire<models.V1VolumeMountStatus>;
export type VolumeNodeAffinity = Wire<models.V1VolumeNodeAffinity>;
export type VolumeNodeResources = Wire<models.V1VolumeNodeResources>;
export type VolumeProjection = Wire<models.V1VolumeProjection>;
export type VolumeResourceRequirements = Wire<models.V1VolumeResourceRequirements>;
export type VolumeStatus = Wire<models.V1VolumeStatus>;
export type VsphereVirtualDiskVolumeSource = Wire<models.V1VsphereVirtualDiskVolumeSource>;
export type WeightedPodAffinityTerm = Wire<models.V1WeightedPodAffinityTerm>;
export type WindowsSecurityContextOptions = Wire<models.V1WindowsSecurityContextOptions>;
