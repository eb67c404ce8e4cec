/**
 * Fields of KubeletConfiguration that Skiff's kubelet reads and cannot follow, each with the reason. A file that sets
 * one to something else than its default is told so when the kubelet starts: nothing is ignored in silence.
 */
import { isDeepStrictEqual } from 'node:util';
import { type KubeletConfiguration, withDefaults } from './defaults.ts';
import type { KubeletFields } from './schema.ts';

const gone = 'it configures what the original has long dropped';

const reasons: Partial<Record<keyof KubeletFields, string>> = {
  enableContentionProfiling: 'there are no locks to profile in this process',
  contentType: 'bodies of the API are JSON',
  kubeAPIQPS: 'calls of the API are not held back',
  kubeAPIBurst: 'calls of the API are not held back',
  configMapAndSecretChangeDetectionStrategy: 'configMaps and secrets of pods are watched',
  enableControllerAttachDetach: 'volumes are attached by the cluster’s controllers alone',
  volumePluginDir: 'there are no FlexVolume plugins; use CSI drivers',
  kubeletCgroups: 'the kubelet stays in the cgroup that it was started in',
  systemCgroups: 'processes of the system stay in their cgroups',
  qosReserved: 'memory of QoS classes is not reserved',
  oomScoreAdj:
    'the score of this process is its service manager’s to set (OOMScoreAdjust= of systemd.exec(5))',
  maxOpenFiles: 'the limit of this process is its service manager’s to set (LimitNOFILE= of systemd.exec(5))',
  kernelMemcgNotification: 'memory is looked at every ten seconds',
  makeIPTablesUtilChains: gone,
  iptablesMasqueradeBit: gone,
  iptablesDropBit: gone,
  hairpinMode: 'the network plugin decides',
  showHiddenMetricsForVersion: 'no metric is hidden',
  logging: 'the log is JSON lines on standard error; PUT /debug/flags/v changes how much',
  tracing: 'no traces are exported',
};

/** Feature gates that change what this kubelet does. */
const knownGates = ['CPUManagerPolicyAlphaOptions', 'EventedPLEG', 'MemoryQoS'];

/** What the kubelet cannot follow: one line for each, beginning with the field. */
export function withoutEffect(configuration: KubeletConfiguration): string[] {
  const usual = withDefaults({}, true) as KubeletFields;
  const fields = (Object.keys(reasons) as (keyof KubeletFields)[]).filter((field) => {
    const value = (configuration as KubeletFields)[field];
    return value !== undefined && !isDeepStrictEqual(value, usual[field]);
  });
  const gates = Object.keys(configuration.featureGates).filter((gate) => !knownGates.includes(gate));
  return [
    ...fields.map((field) => `${field}: ${reasons[field]}`),
    ...gates.map((gate) => `featureGates.${gate}: this kubelet has no such switch`),
  ];
}
