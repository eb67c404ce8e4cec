import assert from 'node:assert/strict';
import { globSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { afterEach, test } from 'node:test';
import { durationMs } from './duration.ts';
import { loadConfiguration } from './load.ts';
import { kubeletConfigurationSchema } from './schema.ts';
import { withoutEffect } from './without-effect.ts';

const roots: string[] = [];
afterEach(() => {
  for (const root of roots.splice(0)) rmSync(root, { recursive: true });
});

const header = 'apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\n';

function load(text: string, dropIns: Record<string, string> = {}) {
  const root = mkdtempSync('/tmp/skiff-conf-');
  roots.push(root);
  mkdirSync(`${root}/conf.d`);
  writeFileSync(`${root}/kubelet.yaml`, header + text);
  for (const [name, content] of Object.entries(dropIns))
    writeFileSync(`${root}/conf.d/${name}`, header + content);
  return loadConfiguration({ file: `${root}/kubelet.yaml`, directory: `${root}/conf.d` });
}

test('a file like those that users have', () => {
  const configuration = load(`
authentication:
  anonymous: { enabled: false }
  webhook: { cacheTTL: 0s, enabled: true }
  x509: { clientCAFile: /etc/kubernetes/pki/ca.crt }
authorization: { mode: Webhook }
cgroupDriver: systemd
clusterDNS: [10.96.0.10]
clusterDomain: cluster.local
containerRuntimeEndpoint: ""
evictionPressureTransitionPeriod: 0s
healthzBindAddress: 127.0.0.1
logging: { flushFrequency: 0, verbosity: 0, options: { json: { infoBufferSize: "0" } } }
memorySwap: {}
rotateCertificates: true
shutdownGracePeriod: 30s
staticPodPath: /etc/kubernetes/manifests
kubeReserved: { cpu: 100m, memory: 1Gi }
`);
  assert.equal(configuration.cgroupDriver, 'systemd');
  assert.equal(configuration.authentication.x509.clientCAFile, '/etc/kubernetes/pki/ca.crt');
  assert.equal(configuration.authentication.webhook.cacheTTL, '0s');
  assert.equal(configuration.authorization.webhook.cacheAuthorizedTTL, '5m0s');
  assert.equal(configuration.evictionHard['memory.available'], '100Mi');
  assert.equal(configuration.port, 10_250);
});

test('without a file it is safe, and the values of old are there for who wants them', () => {
  const safe = loadConfiguration({});
  assert.equal(safe.authorization.mode, 'Webhook');
  assert.equal(safe.readOnlyPort, 0);
  assert.equal(safe.evictionHard['nodefs.available'], '10%');
  const configuration = loadConfiguration({ legacyWithoutFile: true });
  assert.equal(configuration.authentication.anonymous.enabled, true);
  assert.equal(configuration.authorization.mode, 'AlwaysAllow');
  assert.equal(configuration.readOnlyPort, 10_255);
  assert.deepEqual(configuration.evictionHard, {});
});

test('every option of the static CPU policy', () => {
  const { cpuManagerPolicyOptions } = load(`
cpuManagerPolicy: static
featureGates: { CPUManagerPolicyAlphaOptions: true }
cpuManagerPolicyOptions:
  strict-cpu-reservation: "true"
  full-pcpus-only: "true"
  distribute-cpus-across-numa: "true"
  align-by-socket: "true"
  distribute-cpus-across-cores: "false"
  prefer-align-cpus-by-uncorecache: "false"
`);
  assert.equal(Object.keys(cpuManagerPolicyOptions ?? {}).length, 6);
});

test('drop-ins in the order of their names; others are ignored', () => {
  const configuration = load('maxPods: 10\nkubeReserved: { cpu: 1 }\nclusterDNS: [1.1.1.1]', {
    '20-b.conf': 'maxPods: 30\nclusterDNS: [2.2.2.2]',
    '10-a.conf': 'maxPods: 20\nkubeReserved: { memory: 1Gi }',
    'ignored.yaml': 'maxPods: 99',
  });
  assert.equal(configuration.maxPods, 30);
  assert.deepEqual(configuration.kubeReserved, { cpu: '1', memory: '1Gi' });
  assert.deepEqual(configuration.clusterDNS, ['2.2.2.2']);
});

test('one hard threshold drops the others, unless they are merged', () => {
  assert.deepEqual(load('evictionHard: { memory.available: 5% }').evictionHard, { 'memory.available': '5%' });
  const merged = load(
    'mergeDefaultEvictionSettings: true\nevictionHard: { memory.available: 5% }',
  ).evictionHard;
  assert.equal(merged['nodefs.available'], '10%');
  assert.equal(merged['memory.available'], '5%');
});

for (const [text, wanted] of [
  ['maxPodz: 3', /kubelet\.yaml:3:1: maxPodz: unknown key/],
  ['authentication:\n  anonymus: {}', /kubelet\.yaml:4:3: authentication\.anonymus: unknown key/],
  ['syncFrequency: 5', /kubelet\.yaml:3:16: syncFrequency/],
  ['syncFrequency: 5 minutes', /must be a duration/],
  ['port: 70000', /port/],
  ['maxPods: [', /kubelet\.yaml:\d+:\d+/],
  ['evictionHard: { memory.avail: 5% }', /evictionHard\.memory\.avail: unknown signal/],
  ['evictionHard: { memory.available: 500% }', /not between 0% and 100%/],
  ['evictionSoft: { memory.available: 5% }', /needs an evictionSoftGracePeriod/],
  ['tlsCertFile: /x', /together with tlsPrivateKeyFile/],
  ['imageGCHighThresholdPercent: 50', /must be less than/],
  ['clusterDNS: [nowhere]', /not an IP address/],
  ['kubeReserved: { disk: 1Gi }', /must be one of/],
  ['crashLoopBackOff: { maxContainerRestartPeriod: 10m }', /between 1s and 300s/],
  ['cpuManagerPolicyOptions: { full-pcpus-only: "true" }', /need cpuManagerPolicy static/],
  [
    'cpuManagerPolicy: static\ncpuManagerPolicyOptions: { align-by-moon: "true" }',
    /align-by-moon: not supported; known are/,
  ],
  [
    'cpuManagerPolicy: static\ncpuManagerPolicyOptions: { align-by-socket: "true" }',
    /align-by-socket: needs featureGates.CPUManagerPolicyAlphaOptions/,
  ],
  [
    'cpuManagerPolicy: static\ntopologyManagerPolicy: single-numa-node\nfeatureGates: { CPUManagerPolicyAlphaOptions: true }\ncpuManagerPolicyOptions: { align-by-socket: "true" }',
    /cannot be used with single-numa-node/,
  ],
  [
    'cpuManagerPolicy: static\nfeatureGates: { CPUManagerPolicyAlphaOptions: true }\ncpuManagerPolicyOptions: { full-pcpus-only: "true", distribute-cpus-across-cores: "true" }',
    /full-pcpus-only and distribute-cpus-across-cores cannot be used at the same time/,
  ],
  [
    'cpuManagerPolicy: static\ncpuManagerPolicyOptions: { prefer-align-cpus-by-uncorecache: "true", distribute-cpus-across-numa: "true" }',
    /cannot be used at the same time/,
  ],
  [
    'cpuManagerPolicy: static\ncpuManagerPolicyOptions: { full-pcpus-only: "yes" }',
    /must be "true" or "false"/,
  ],
  ['topologyManagerPolicyOptions: { max-allowable-numa-nodes: "many" }', /is not a value for it/],
  ['memoryManagerPolicy: BestEffort', /is for Windows/],
  ['reservedMemory: [{ numaNode: 0, limits: { cpu: 1 } }]', /must be memory or hugepages-SIZE/],
  ['tlsCurvePreferences: [CurveX]', /"CurveX" is not a curve/],
  ['enforceNodeAllocatable: [pods, kube-reserved]', /kubeReservedCgroup: must be set/],
  ['enforceNodeAllocatable: [none, pods]', /cannot stand beside/],
  ['userNamespaces: { idsPerPod: 70000 }', /multiple of 65536/],
  ['failSwapOn: true\nmemorySwap: { swapBehavior: LimitedSwap }', /needs failSwapOn: false/],
] as const)
  test(`refused: ${text.replace('\n', ' ')}`, () => assert.throws(() => load(text), wanted));

test('another kind is refused', () => {
  assert.throws(() => load('apiVersion: v1'), /apiVersion|Map keys must be unique/);
});

for (const [text, wanted] of [
  ['10s', 10_000],
  ['1m30s', 90_000],
  ['500ms', 500],
  ['4h0m0s', 14_400_000],
  ['0', 0],
  ['1.5h', 5_400_000],
  ['-1s', -1000],
] as const)
  test(`duration ${text}`, () => assert.equal(durationMs(text), wanted));

test('what cannot be followed is named, what has its default is not', () => {
  assert.deepEqual(withoutEffect(loadConfiguration({})), []);
  const said = withoutEffect(
    load(`
kubeAPIQPS: 50
kubeAPIBurst: 7
logging: { verbosity: 4 }
featureGates: { MemoryQoS: true, SidecarTelepathy: true }
`),
  );
  assert.deepEqual(
    said.map((line) => line.split(':')[0]),
    ['kubeAPIBurst', 'logging', 'featureGates.SidecarTelepathy'],
  );
});

test('every field is followed by some part of the kubelet, or named as without effect', () => {
  const code = globSync('services/kubelet/**/*.ts')
    .filter((file) => !file.endsWith('.test.ts') && !/configuration\/(schema|defaults)\.ts$/.test(file))
    .map((file) => readFileSync(file, 'utf8'))
    .join('\n');
  // The command line follows these: it opens the connection to the runtime.
  const elsewhere = ['containerRuntimeEndpoint', 'imageServiceEndpoint', 'mergeDefaultEvictionSettings'];
  const forgotten = Object.keys(kubeletConfigurationSchema.shape).filter(
    (field) => !elsewhere.includes(field) && !new RegExp(`\\b${field}\\b`).test(code),
  );
  assert.deepEqual(forgotten, []);
});
