/** What the kubelet's core is made from, and what it offers the parts beside it. */
import type { CriClient } from '#contracts/cri/client.ts';
import type { Pod } from '#contracts/kubernetes/types.ts';
import type { Logger } from '#foundation/base/log.ts';
import type { Registry } from '#foundation/base/metrics.ts';
import type { Clock } from '#foundation/base/time.ts';
import type { EventSink } from './events/recorder.ts';
import type { VerificationPolicy } from './images/pull-records.ts';
import type {
  ActivePods,
  Admission,
  ContainerConfigBuilder,
  DynamicResources,
  EventRecorder,
  HookRunner,
  KubeletApi,
  KubeletView,
  PodControl,
  PodResources,
  PodStatusReader,
  ProbeManager,
  RuntimeHealth,
  VolumeManager,
} from './ports.ts';
import type { RuntimeManagerDeps } from './runtime-manager/deps.ts';
import { type NodeShutdown, type ShutdownGroup, shutdownGroups } from './sync-loop/shutdown.ts';

/** The figures of KubeletConfiguration that the core goes by. Milliseconds. */
export interface CoreSettings {
  syncFrequencyMs: number;
  fileCheckMs: number;
  httpCheckMs: number;
  runtimeRequestTimeoutMs: number;
  /** `crashLoopBackOff.maxContainerRestartPeriod`. */
  maxRestartBackoffMs: number;
  /** The first delay of a container that restarts. */
  initialRestartBackoffMs: number;
  /** 1 for `serializeImagePulls`, else `maxParallelImagePulls`. */
  parallelPulls: number;
  /** `registryPullQPS` (0 for no limit) and `registryBurst`. */
  pullQps: number;
  pullBurst: number;
  /** Which images that are there must be proven by credentials. */
  imageVerification: VerificationPolicy;
  relistMs: number;
  eventedRelistMs: number;
  /** Whether to follow the runtime's events where it has them (EventedPLEG). */
  evented: boolean;
  /** Groups of pods for a graceful shutdown of the node. */
  shutdown: readonly ShutdownGroup[];
}

/** The original's figures. */
export const defaultSettings: CoreSettings = {
  syncFrequencyMs: 60_000,
  fileCheckMs: 20_000,
  httpCheckMs: 20_000,
  runtimeRequestTimeoutMs: 120_000,
  maxRestartBackoffMs: 300_000,
  initialRestartBackoffMs: 10_000,
  parallelPulls: 1,
  pullQps: 5,
  pullBurst: 10,
  imageVerification: { policy: 'NeverVerifyPreloadedImages', allowlist: [] },
  relistMs: 1000,
  eventedRelistMs: 10_000,
  evented: true,
  shutdown: shutdownGroups(30_000, 10_000),
};

/** Where static pods come from. */
export interface ManifestSources {
  /** A manifest file or a flat directory of them. */
  path?: string;
  url?: string;
  urlHeaders?: Record<string, string[]>;
}

/** `--image-credential-provider-config` and `--image-credential-provider-bin-dir`. */
export interface CredentialProviderPlaces {
  /** A CredentialProviderConfig file, or a directory of them. */
  configuration: string;
  /** Where the programs are. */
  binaryDirectory: string;
}

export interface CoreDeps {
  nodeName: string;
  /** The kubelet's root directory. */
  root: string;
  podLogs: string;
  containerLogs: string;
  cri: Pick<CriClient, 'runtime' | 'images'>;
  clock: Clock;
  logger: Logger;
  metrics: Registry;
  settings: CoreSettings;
  manifests: ManifestSources;
  /** Decodes, defaults and validates. @throws SkiffError with line and field. */
  decodePod(text: string, name: string): Pod;
  decodePods(text: string, name: string): Pod[];
  /** Absent when the kubelet stands alone. */
  api?: KubeletApi;
  /** Where events go besides the log. */
  eventSinks?: EventSink[];
  /** Programs that know credentials of registries. */
  credentialProviders?: CredentialProviderPlaces;
  /** The node's addresses, the primary first; only shown with an API. */
  nodeIps(): string[];
  /** Called when the node's status is to be reported at once. */
  nodeChanged?(): void;
}

/** What the core offers to the parts. */
export interface CoreServices {
  events: EventRecorder;
  statuses: PodStatusReader;
  view: KubeletView;
  active: ActivePods;
  control: PodControl;
  shutdown: NodeShutdown;
  health: RuntimeHealth;
  /** The CRI, counted and with deadlines. */
  runtime: CriClient['runtime'];
  images: CriClient['images'];
}

/** What the core needs of the parts. */
export interface Parts {
  volumes: VolumeManager;
  builder: ContainerConfigBuilder;
  probes: ProbeManager;
  hooks: HookRunner;
  resources: PodResources;
  admission: Admission;
  dynamicResources: DynamicResources;
  linuxResources: RuntimeManagerDeps['linuxResources'];
}
