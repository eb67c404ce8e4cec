/**
 * What a configuration has that says nothing: the original's values (kubelet-facts 11), one line for each, and Skiff's
 * own three.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { withDefaults } from './defaults.ts';
import { durationMs } from './duration.ts';

const seconds = 1000;
const minutes = 60 * seconds;
const hours = 60 * minutes;

const durations = {
  syncFrequency: minutes,
  fileCheckFrequency: 20 * seconds,
  httpCheckFrequency: 20 * seconds,
  streamingConnectionIdleTimeout: 4 * hours,
  nodeStatusUpdateFrequency: 10 * seconds,
  nodeStatusReportFrequency: 5 * minutes,
  imageMinimumGCAge: 2 * minutes,
  imageMaximumGCAge: 0,
  volumeStatsAggPeriod: minutes,
  runtimeRequestTimeout: 2 * minutes,
  cpuCFSQuotaPeriod: 100,
  evictionPressureTransitionPeriod: 5 * minutes,
  containerLogMonitorInterval: 10 * seconds,
  shutdownGracePeriod: 0,
  cpuManagerReconcilePeriod: 10 * seconds,
};

const values = {
  address: '0.0.0.0',
  port: 10_250,
  readOnlyPort: 0,
  healthzPort: 10_248,
  healthzBindAddress: '127.0.0.1',
  registryPullQPS: 5,
  registryBurst: 10,
  eventRecordQPS: 50,
  eventBurst: 100,
  kubeAPIQPS: 50,
  kubeAPIBurst: 100,
  contentType: 'application/vnd.kubernetes.protobuf',
  enableServer: true,
  enableDebuggingHandlers: true,
  enableSystemLogHandler: true,
  enableProfilingHandler: true,
  registerNode: true,
  cgroupsPerQOS: true,
  cpuCFSQuota: true,
  enableControllerAttachDetach: true,
  makeIPTablesUtilChains: true,
  localStorageCapacityIsolation: true,
  oomScoreAdj: -999,
  nodeLeaseDurationSeconds: 40,
  nodeStatusMaxImages: 50,
  imageGCHighThresholdPercent: 85,
  imageGCLowThresholdPercent: 80,
  cgroupDriver: 'cgroupfs',
  cpuManagerPolicy: 'none',
  memoryManagerPolicy: 'None',
  topologyManagerPolicy: 'none',
  topologyManagerScope: 'container',
  maxPods: 110,
  podsPerCore: 0,
  podPidsLimit: -1,
  resolvConf: '/etc/resolv.conf',
  clusterDomain: '',
  maxOpenFiles: 1_000_000,
  serializeImagePulls: true,
  containerLogMaxSize: '10Mi',
  containerLogMaxFiles: 5,
  containerLogMaxWorkers: 1,
  configMapAndSecretChangeDetectionStrategy: 'Watch',
  enforceNodeAllocatable: ['pods'],
  seccompDefault: false,
  rotateCertificates: false,
  serverTLSBootstrap: false,
  memoryThrottlingFactor: 0.9,
  podLogsDir: '/var/log/pods',
  imagePullCredentialsVerificationPolicy: 'NeverVerifyPreloadedImages',
  evictionMaxPodGracePeriod: 0,
  evictionSoft: {},
  systemReserved: {},
  kubeReserved: {},
  clusterDNS: [],
  staticPodPath: '',
  staticPodURL: '',
  allowedUnsafeSysctls: [],
  tlsCertFile: undefined,
  providerID: undefined,
  reservedSystemCPUs: '',
  memorySwap: {},
  evictionHard: {
    'memory.available': '100Mi',
    'nodefs.available': '10%',
    'nodefs.inodesFree': '5%',
    'imagefs.available': '15%',
    'imagefs.inodesFree': '5%',
  },
};

/** Where Skiff differs: it serves machines that the original refuses, and brings a runtime of its own. */
const own = { failCgroupV1: false, failSwapOn: false, containerRuntimeEndpoint: '' };

const configuration = withDefaults({}, true);
const has = (field: string) => (configuration as unknown as Record<string, unknown>)[field];

for (const [field, ms] of Object.entries(durations))
  test(`${field} is ${ms} ms`, () => assert.equal(durationMs(String(has(field))), ms));
for (const [field, value] of Object.entries({ ...values, ...own }))
  test(`${field} is ${JSON.stringify(value)}`, () => assert.deepEqual(has(field), value));

test('who may do what: nobody without a name, and the API decides', () => {
  const { authentication, authorization } = configuration;
  assert.equal(authentication.anonymous.enabled, false);
  assert.deepEqual(authentication.webhook, { enabled: true, cacheTTL: '2m0s' });
  assert.equal(authorization.mode, 'Webhook');
  assert.deepEqual(authorization.webhook, { cacheAuthorizedTTL: '5m0s', cacheUnauthorizedTTL: '30s' });
});
