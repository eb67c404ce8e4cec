/**
 * The fields of KubeletConfiguration v1beta1
 * (https://kubernetes.io/docs/reference/config-api/kubelet-config.v1beta1/). All are optional in a file; unknown ones
 * are refused. Values stay as they are written: durations and quantities as text.
 */
import { z } from 'zod';
import { count, duration, percent, port, resourceMap, thresholds } from './fields.ts';

const authentication = z.strictObject({
  x509: z.strictObject({ clientCAFile: z.string().optional() }).optional(),
  webhook: z.strictObject({ enabled: z.boolean().optional(), cacheTTL: duration.optional() }).optional(),
  anonymous: z.strictObject({ enabled: z.boolean().optional() }).optional(),
});

const authorization = z.strictObject({
  mode: z.enum(['AlwaysAllow', 'Webhook']).optional(),
  webhook: z
    .strictObject({ cacheAuthorizedTTL: duration.optional(), cacheUnauthorizedTTL: duration.optional() })
    .optional(),
});

const taint = z.strictObject({
  key: z.string(),
  value: z.string().optional(),
  effect: z.enum(['NoSchedule', 'PreferNoSchedule', 'NoExecute']),
  timeAdded: z.string().nullable().optional(),
});

const sources = {
  enableServer: z.boolean(),
  staticPodPath: z.string(),
  podLogsDir: z.string(),
  syncFrequency: duration,
  fileCheckFrequency: duration,
  httpCheckFrequency: duration,
  staticPodURL: z.string(),
  staticPodURLHeader: z.record(z.string(), z.array(z.string())),
};

const server = {
  address: z.string(),
  port,
  readOnlyPort: port,
  tlsCertFile: z.string(),
  tlsPrivateKeyFile: z.string(),
  tlsCipherSuites: z.array(z.string()),
  tlsMinVersion: z.enum(['VersionTLS10', 'VersionTLS11', 'VersionTLS12', 'VersionTLS13']),
  tlsCurvePreferences: z.array(z.union([z.int(), z.string()])),
  rotateCertificates: z.boolean(),
  serverTLSBootstrap: z.boolean(),
  authentication,
  authorization,
  enableDebuggingHandlers: z.boolean(),
  enableContentionProfiling: z.boolean(),
  enableProfilingHandler: z.boolean(),
  enableDebugFlagsHandler: z.boolean(),
  enableSystemLogHandler: z.boolean(),
  enableSystemLogQuery: z.boolean(),
  healthzPort: port,
  healthzBindAddress: z.string(),
  streamingConnectionIdleTimeout: duration,
};

const client = {
  registryPullQPS: count,
  registryBurst: count,
  imagePullCredentialsVerificationPolicy: z.enum([
    'NeverVerify',
    'NeverVerifyPreloadedImages',
    'NeverVerifyAllowlistedImages',
    'AlwaysVerify',
  ]),
  preloadedImagesVerificationAllowlist: z.array(z.string()),
  eventRecordQPS: count,
  eventBurst: count,
  contentType: z.string(),
  kubeAPIQPS: z.int(),
  kubeAPIBurst: count,
  configMapAndSecretChangeDetectionStrategy: z.enum(['Get', 'Cache', 'Watch']),
};

const node = {
  nodeStatusUpdateFrequency: duration,
  nodeStatusReportFrequency: duration,
  nodeLeaseDurationSeconds: z.int().min(1),
  nodeStatusMaxImages: z.int().min(-1),
  registerNode: z.boolean(),
  registerWithTaints: z.array(taint),
  providerID: z.string(),
  enableControllerAttachDetach: z.boolean(),
  podCIDR: z.string(),
  maxPods: count,
  podsPerCore: count,
  clusterDomain: z.string(),
  clusterDNS: z.array(z.string()),
  resolvConf: z.string(),
  hairpinMode: z.enum(['promiscuous-bridge', 'hairpin-veth', 'none']),
};

const images = {
  imageMinimumGCAge: duration,
  imageMaximumGCAge: duration,
  imageGCHighThresholdPercent: percent,
  imageGCLowThresholdPercent: percent,
  serializeImagePulls: z.boolean(),
  maxParallelImagePulls: z.int().min(1).nullable(),
  containerLogMaxSize: z.string(),
  containerLogMaxFiles: z.int().min(2, 'must be at least 2'),
  containerLogMaxWorkers: z.int().min(1),
  containerLogMonitorInterval: duration,
  volumeStatsAggPeriod: duration,
  volumePluginDir: z.string(),
};

const cgroups = {
  kubeletCgroups: z.string(),
  systemCgroups: z.string(),
  cgroupRoot: z.string(),
  cgroupsPerQOS: z.boolean(),
  cgroupDriver: z.enum(['cgroupfs', 'systemd']),
  failCgroupV1: z.boolean(),
  cpuManagerPolicy: z.enum(['none', 'static']),
  cpuManagerPolicyOptions: z.record(z.string(), z.string()),
  cpuManagerReconcilePeriod: duration,
  memoryManagerPolicy: z.enum(['None', 'Static', 'BestEffort']),
  topologyManagerPolicy: z.enum(['none', 'best-effort', 'restricted', 'single-numa-node']),
  topologyManagerScope: z.enum(['container', 'pod']),
  topologyManagerPolicyOptions: z.record(z.string(), z.string()),
  qosReserved: z.record(z.string(), z.string()),
  cpuCFSQuota: z.boolean(),
  cpuCFSQuotaPeriod: duration,
  podPidsLimit: z.int().min(-1),
  oomScoreAdj: z.int().min(-1000).max(1000),
  maxOpenFiles: count,
  singleProcessOOMKill: z.boolean().nullable(),
  failSwapOn: z.boolean(),
  memorySwap: z.strictObject({ swapBehavior: z.enum(['', 'NoSwap', 'LimitedSwap']).optional() }),
  memoryThrottlingFactor: z.number().min(0).max(1),
  memoryReservationPolicy: z.enum(['None', 'TieredReservation']),
  protectKernelDefaults: z.boolean(),
  kernelMemcgNotification: z.boolean(),
  makeIPTablesUtilChains: z.boolean(),
  iptablesMasqueradeBit: z.int(),
  iptablesDropBit: z.int(),
  seccompDefault: z.boolean(),
  allowedUnsafeSysctls: z.array(z.string()),
};

const reserved = {
  evictionHard: thresholds,
  evictionSoft: thresholds,
  evictionSoftGracePeriod: z.record(z.string(), duration),
  evictionPressureTransitionPeriod: duration,
  evictionMaxPodGracePeriod: count,
  evictionMinimumReclaim: thresholds,
  mergeDefaultEvictionSettings: z.boolean(),
  systemReserved: resourceMap,
  kubeReserved: resourceMap,
  reservedSystemCPUs: z.string(),
  systemReservedCgroup: z.string(),
  kubeReservedCgroup: z.string(),
  enforceNodeAllocatable: z.array(
    z.enum([
      'none',
      'pods',
      'system-reserved',
      'kube-reserved',
      'system-reserved-compressible',
      'kube-reserved-compressible',
    ]),
  ),
  reservedMemory: z.array(z.strictObject({ numaNode: count, limits: resourceMap })),
  localStorageCapacityIsolation: z.boolean(),
};

const rest = {
  runtimeRequestTimeout: duration,
  containerRuntimeEndpoint: z.string(),
  imageServiceEndpoint: z.string(),
  featureGates: z.record(z.string(), z.boolean()),
  showHiddenMetricsForVersion: z.string(),
  logging: z.record(z.string(), z.unknown()),
  tracing: z.record(z.string(), z.unknown()),
  shutdownGracePeriod: duration,
  shutdownGracePeriodCriticalPods: duration,
  shutdownGracePeriodByPodPriority: z.array(
    z.strictObject({ priority: z.int(), shutdownGracePeriodSeconds: count }),
  ),
  crashLoopBackOff: z.strictObject({ maxContainerRestartPeriod: duration.optional() }),
  userNamespaces: z.strictObject({ idsPerPod: z.int().min(65_536).optional() }),
};

const fields = { ...sources, ...server, ...client, ...node, ...images, ...cgroups, ...reserved, ...rest };

/** A file: every field may be left out. */
export const kubeletConfigurationSchema = z
  .strictObject(fields)
  .partial()
  .extend({
    apiVersion: z.literal('kubelet.config.k8s.io/v1beta1', {
      error: 'must be kubelet.config.k8s.io/v1beta1',
    }),
    kind: z.literal('KubeletConfiguration', { error: 'must be KubeletConfiguration' }),
  });

/** Every field by name, as it is once defaults are filled in; those without a default may be missing. */
export type KubeletFields = { [K in keyof typeof fields]?: z.infer<(typeof fields)[K]> };
