/** The values of fields that a configuration leaves out: the original's, but for three of Skiff's own (said below). */
import type { KubeletFields } from './schema.ts';

const defaults = {
  enableServer: true,
  staticPodPath: '',
  podLogsDir: '/var/log/pods',
  syncFrequency: '1m0s',
  fileCheckFrequency: '20s',
  httpCheckFrequency: '20s',
  staticPodURL: '',
  address: '0.0.0.0',
  port: 10_250,
  readOnlyPort: 0,
  rotateCertificates: false,
  serverTLSBootstrap: false,
  registryPullQPS: 5,
  registryBurst: 10,
  imagePullCredentialsVerificationPolicy: 'NeverVerifyPreloadedImages',
  eventRecordQPS: 50,
  eventBurst: 100,
  enableDebuggingHandlers: true,
  enableContentionProfiling: false,
  enableProfilingHandler: true,
  enableDebugFlagsHandler: true,
  enableSystemLogHandler: true,
  enableSystemLogQuery: false,
  healthzPort: 10_248,
  healthzBindAddress: '127.0.0.1',
  streamingConnectionIdleTimeout: '4h0m0s',
  contentType: 'application/vnd.kubernetes.protobuf',
  kubeAPIQPS: 50,
  kubeAPIBurst: 100,
  configMapAndSecretChangeDetectionStrategy: 'Watch',
  nodeStatusUpdateFrequency: '10s',
  nodeStatusReportFrequency: '5m0s',
  nodeLeaseDurationSeconds: 40,
  nodeStatusMaxImages: 50,
  registerNode: true,
  enableControllerAttachDetach: true,
  maxPods: 110,
  podsPerCore: 0,
  clusterDomain: '',
  clusterDNS: [],
  resolvConf: '/etc/resolv.conf',
  hairpinMode: 'promiscuous-bridge',
  imageMinimumGCAge: '2m0s',
  imageMaximumGCAge: '0s',
  imageGCHighThresholdPercent: 85,
  imageGCLowThresholdPercent: 80,
  serializeImagePulls: true,
  containerLogMaxSize: '10Mi',
  containerLogMaxFiles: 5,
  containerLogMaxWorkers: 1,
  containerLogMonitorInterval: '10s',
  volumeStatsAggPeriod: '1m0s',
  volumePluginDir: '/usr/libexec/kubernetes/kubelet-plugins/volume/exec/',
  cgroupRoot: '',
  cgroupsPerQOS: true,
  cgroupDriver: 'cgroupfs',
  /** The original refuses version 1 (true). Skiff serves it with a warning, for there are still machines with it. */
  failCgroupV1: false,
  cpuManagerPolicy: 'none',
  cpuManagerReconcilePeriod: '10s',
  memoryManagerPolicy: 'None',
  topologyManagerPolicy: 'none',
  topologyManagerScope: 'container',
  cpuCFSQuota: true,
  cpuCFSQuotaPeriod: '100ms',
  podPidsLimit: -1,
  oomScoreAdj: -999,
  maxOpenFiles: 1_000_000,
  /** The original refuses machines with swap (true). Skiff serves them: pods get none of it unless they may. */
  failSwapOn: false,
  memorySwap: {},
  memoryThrottlingFactor: 0.9,
  memoryReservationPolicy: 'None',
  protectKernelDefaults: false,
  makeIPTablesUtilChains: true,
  seccompDefault: false,
  allowedUnsafeSysctls: [],
  evictionPressureTransitionPeriod: '5m0s',
  evictionMaxPodGracePeriod: 0,
  evictionSoft: {},
  evictionSoftGracePeriod: {},
  evictionMinimumReclaim: {},
  mergeDefaultEvictionSettings: false,
  systemReserved: {},
  kubeReserved: {},
  reservedSystemCPUs: '',
  enforceNodeAllocatable: ['pods'],
  localStorageCapacityIsolation: true,
  runtimeRequestTimeout: '2m0s',
  /** The original's is containerd's socket; the launcher fills in that of Skiff's CRI server. */
  containerRuntimeEndpoint: '',
  imageServiceEndpoint: '',
  featureGates: {},
  shutdownGracePeriod: '0s',
  shutdownGracePeriodCriticalPods: '0s',
  shutdownGracePeriodByPodPriority: [],
  crashLoopBackOff: {},
  userNamespaces: {},
} satisfies KubeletFields;

const authentication = {
  x509: { clientCAFile: '' },
  webhook: { enabled: true, cacheTTL: '2m0s' },
  anonymous: { enabled: false },
};

const authorization = {
  mode: 'Webhook' as 'Webhook' | 'AlwaysAllow',
  webhook: { cacheAuthorizedTTL: '5m0s', cacheUnauthorizedTTL: '30s' },
};

/** Eviction thresholds of Linux where a file sets none. There is none for processes. */
const defaultEvictionHard: Record<string, string> = {
  'memory.available': '100Mi',
  'nodefs.available': '10%',
  'nodefs.inodesFree': '5%',
  'imagefs.available': '15%',
  'imagefs.inodesFree': '5%',
};

type Widened<T> = { [K in keyof T]: K extends keyof KubeletFields ? NonNullable<KubeletFields[K]> : T[K] };

/** A configuration with every field that has a default filled in. */
export type KubeletConfiguration = Omit<
  KubeletFields,
  keyof typeof defaults | 'authentication' | 'authorization'
> &
  Widened<typeof defaults> & {
    authentication: typeof authentication;
    authorization: typeof authorization;
    evictionHard: Record<string, string>;
  };

/**
 * Fills the defaults in.
 *
 * @param fromFile whether there was a file at all. Without one the original keeps values of old: anonymous requests
 *   allowed, everything authorized, a read-only port, no thresholds for eviction.
 */
export function withDefaults(stated: KubeletFields, fromFile: boolean): KubeletConfiguration {
  const { authentication: said = {}, authorization: asked = {}, ...rest } = stated;
  const legacy = fromFile
    ? {}
    : { readOnlyPort: 10_255, authentication: legacyAuthentication, authorization: legacyAuthorization };
  const filled = { ...defaults, authentication, authorization, ...legacy };
  return {
    ...filled,
    ...rest,
    authentication: {
      x509: { ...filled.authentication.x509, ...said.x509 },
      webhook: { ...filled.authentication.webhook, ...said.webhook },
      anonymous: { ...filled.authentication.anonymous, ...said.anonymous },
    },
    authorization: {
      mode: asked.mode ?? filled.authorization.mode,
      webhook: { ...filled.authorization.webhook, ...asked.webhook },
    },
    evictionHard: evictionHard(stated, fromFile),
  } as KubeletConfiguration;
}

const legacyAuthentication = {
  ...authentication,
  webhook: { ...authentication.webhook, enabled: false },
  anonymous: { enabled: true },
};
const legacyAuthorization = { ...authorization, mode: 'AlwaysAllow' as const };

/** Any threshold that is set drops the defaults, unless both are to be merged. */
function evictionHard(stated: KubeletFields, fromFile: boolean): Record<string, string> {
  if (stated.evictionHard === undefined) return fromFile ? defaultEvictionHard : {};
  const merge = stated.mergeDefaultEvictionSettings === true;
  return { ...(merge ? defaultEvictionHard : {}), ...stated.evictionHard };
}
