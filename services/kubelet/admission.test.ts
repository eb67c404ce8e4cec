import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Node, Pod, Taint } from '#contracts/kubernetes/types.ts';
import { type AdmissionDeps, createAdmission } from './admission.ts';
import type { NodeResources } from './node/capacity.ts';

const Mi = 2 ** 20;
const allocatable: NodeResources = {
  milliCpu: 2000,
  memory: 1000 * Mi,
  ephemeralStorage: 500 * Mi,
  pods: 3,
  hugePages: new Map([['2Mi', 8 * Mi]]),
  devices: new Map([['vendor.test/gpu', 1]]),
};

const fromFile = (pod: Pod): Pod => ({
  ...pod,
  metadata: { ...pod.metadata, annotations: { 'kubernetes.io/config.source': 'file' } },
});
const admission = (more: Partial<NodeResources> = {}, deps: Partial<AdmissionDeps> = {}) =>
  createAdmission({
    node: { name: 'node1', allocatable: () => ({ ...allocatable, ...more }) },
    labels: { zone: 'here' },
    ...deps,
  });

const podOf = (requests: Record<string, string>, spec: Partial<Pod['spec']> = {}): Pod => ({
  metadata: { name: 'p', uid: 'p' },
  spec: { containers: [{ name: 'c', image: 'i', resources: { requests } }], ...spec },
});
const listening = (hostPort: number, hostIP?: string, protocol?: string): Pod =>
  podOf({}, { containers: [{ name: 'c', ports: [{ containerPort: 80, hostPort, hostIP, protocol }] }] });

const plain = podOf({});
const labelled = (labels: Record<string, string>): Pod => ({
  ...plain,
  metadata: { ...plain.metadata, labels },
});
const sidecar = (hostPort: number): Pod =>
  podOf(
    {},
    { initContainers: [{ name: 's', restartPolicy: 'Always', ports: [{ containerPort: 80, hostPort }] }] },
  );
const near = (key: string, operator: string, values: string[]): Pod =>
  podOf(
    {},
    {
      affinity: {
        nodeAffinity: {
          requiredDuringSchedulingIgnoredDuringExecution: {
            nodeSelectorTerms: [{ matchExpressions: [{ key, operator, values }] }],
          },
        },
      },
    },
  );
const rows: [name: string, pod: Pod, others: Pod[], reason: string | undefined, message?: RegExp][] = [
  ['nothing asked for', plain, [], undefined],
  ['another system', podOf({}, { os: { name: 'windows' } }), [], 'PodOSNotSupported'],
  ['a label of the node', podOf({}, { nodeSelector: { zone: 'here' } }), [], undefined],
  ['its name', podOf({}, { nodeSelector: { 'kubernetes.io/hostname': 'node1' } }), [], undefined],
  ['a label it has not', podOf({}, { nodeSelector: { zone: 'there' } }), [], 'NodeAffinity'],
  ['an affinity it fulfils', near('zone', 'In', ['here', 'there']), [], undefined],
  ['an affinity it does not', near('zone', 'NotIn', ['here']), [], 'NodeAffinity'],
  [
    'a label of another system',
    labelled({ 'kubernetes.io/os': 'windows' }),
    [],
    'PodOSSelectorNodeLabelDoesNotMatch',
  ],
  ['a port that is taken', listening(80), [listening(80)], 'NodePorts'],
  ['the port of another address', listening(80, '10.0.0.1'), [listening(80, '10.0.0.2')], undefined],
  ['the port of all addresses', listening(80, '10.0.0.1'), [listening(80)], 'NodePorts'],
  ['the port of a sidecar', listening(80), [sidecar(80)], 'NodePorts'],
  ['the port of another protocol', listening(80, '', 'UDP'), [listening(80)], undefined],
  ['one pod too many', plain, [plain, plain, plain], 'OutOfpods', /requested: 1, used: 3, capacity: 3/],
  [
    'CPU',
    podOf({ cpu: '1500m' }),
    [podOf({ cpu: '600m' })],
    'OutOfcpu',
    /resource: cpu, requested: 1500, used: 600, capacity: 2000/,
  ],
  ['memory', podOf({ memory: '600Mi' }), [podOf({ memory: '600Mi' })], 'OutOfmemory'],
  ['disk', podOf({ 'ephemeral-storage': '501Mi' }), [], 'OutOfephemeral-storage'],
  ['huge pages', podOf({ 'hugepages-2Mi': '10Mi' }), [], 'OutOfhugepages-2Mi'],
  [
    'a device that is taken',
    podOf({ 'vendor.test/gpu': '1' }),
    [podOf({ 'vendor.test/gpu': '1' })],
    'OutOfvendor.test/gpu',
  ],
  ['a device that nobody offers', podOf({ 'vendor.test/other': '9' }), [], undefined],
  ['overhead', podOf({ cpu: '1900m' }, { overhead: { cpu: '200m' } }), [], 'OutOfcpu'],
  [
    'resources of the pod as a whole',
    podOf({ cpu: '3' }, { resources: { requests: { cpu: '1' } } }),
    [],
    undefined,
  ],
];
for (const [name, pod, others, reason, message] of rows)
  test(`${name}: ${reason ?? 'admitted'}`, async () => {
    const verdict = await admission().admit(pod, others);
    assert.equal(verdict.admit ? undefined : verdict.reason, reason);
    if (!verdict.admit && message !== undefined) assert.match(verdict.message, message);
  });

test('a pod keeps the device it has when that is broken now', async () => {
  const pod = podOf({ 'vendor.test/gpu': '1' });
  const broken = { devices: new Map([['vendor.test/gpu', 0]]) };
  assert.equal((await admission(broken).admit(pod, [])).admit, false);
  assert.equal((await admission(broken, { holds: () => true }).admit(pod, [])).admit, true);
});

test('a resize may fit, fit later, or never', () => {
  const { fits } = admission();
  assert.deepEqual(fits(podOf({ cpu: '2' }), []), { admit: true });
  const later = fits(podOf({ cpu: '2' }), [podOf({ cpu: '1' })]);
  assert.equal(later.admit === false && later.infeasible, undefined);
  const never = fits(podOf({ memory: '2Gi' }), []);
  assert.equal(never.infeasible, true);
  assert.match(
    never.admit === false ? never.message : '',
    /enough capacity: memory, requested: 2147483648, capacity/,
  );
});

const nodeWith = (labels: Record<string, string>, taints: Taint[] = []): Node => ({
  metadata: { name: 'node1', labels },
  spec: { taints },
});
const wantsDisk = podOf({}, { nodeSelector: { disk: 'fast' } });
const reasonOf = async (deps: Partial<AdmissionDeps>, pod: Pod, others: Pod[] = []) => {
  const verdict = await admission({}, deps).admit(pod, others);
  return verdict.admit ? 'admitted' : verdict.reason;
};

test('labels that others put on the node count, also those the kubelet has not heard of yet', async () => {
  assert.equal(await reasonOf({ apiNode: () => nodeWith({ disk: 'fast' }) }, wantsDisk), 'admitted');
  let asked = 0;
  const late = {
    apiNode: () => nodeWith({}),
    freshNode: async () => {
      asked += 1;
      return nodeWith({ disk: 'fast' });
    },
  };
  assert.equal(await reasonOf(late, wantsDisk), 'admitted');
  assert.equal(await reasonOf(late, plain), 'admitted');
  assert.equal(asked, 1, 'the API is asked only when that may help');
  const silent = { apiNode: () => nodeWith({}), freshNode: () => Promise.reject(new Error('no answer')) };
  assert.equal(await reasonOf(silent, wantsDisk), 'NodeAffinity');
});

test('taints that drive pods away keep them out, unless they tolerate them or are static', async () => {
  const tainted = { apiNode: () => nodeWith({}, [{ key: 'gone', effect: 'NoExecute' }]) };
  const tolerant = podOf({}, { tolerations: [{ key: 'gone', operator: 'Exists' }] });
  assert.equal(await reasonOf(tainted, plain), 'TaintToleration');
  assert.equal(await reasonOf(tainted, tolerant), 'admitted');
  assert.equal(await reasonOf(tainted, fromFile(plain)), 'admitted');
  const others = { apiNode: () => nodeWith({}, [{ key: 'full', effect: 'NoSchedule' }]) };
  assert.equal(await reasonOf(others, plain), 'admitted');
});

const advertised = (amounts: Record<string, string>) => ({
  apiNode: () => ({ ...nodeWith({}), status: { allocatable: amounts } }),
});
const dongles = (count: string) => podOf({ 'example.com/dongle': count });
for (const [name, amounts, pod, others, wanted] of [
  ['fits', { 'example.com/dongle': '4' }, dongles('3'), [dongles('1')], 'admitted'],
  ['is used up', { 'example.com/dongle': '4' }, dongles('3'), [dongles('2')], 'OutOfexample.com/dongle'],
  ['is there no more', { 'example.com/dongle': '0' }, dongles('1'), [], 'OutOfexample.com/dongle'],
  ['nobody advertised', {}, dongles('9'), [], 'admitted'],
  [
    'a plugin serves',
    { 'vendor.test/gpu': '8' },
    podOf({ 'vendor.test/gpu': '2' }),
    [],
    'OutOfvendor.test/gpu',
  ],
  [
    'is Kubernetes’ own',
    { 'kubernetes.io/batch': '0' },
    podOf({ 'kubernetes.io/batch': '1' }),
    [],
    'admitted',
  ],
] as [string, Record<string, string>, Pod, Pod[], string][])
  test(`a resource on the Node that ${name}: ${wanted}`, async () => {
    assert.equal(await reasonOf(advertised(amounts), pod, others), wanted);
  });

test('strict groups need a runtime that can keep to them', async () => {
  const strict = podOf({}, { securityContext: { supplementalGroupsPolicy: 'Strict' } });
  assert.equal(await reasonOf({ strictGroups: () => true }, strict), 'admitted');
  assert.equal(await reasonOf({ strictGroups: () => false }, strict), 'SupplementalGroupsPolicyNotSupported');
  assert.equal(await reasonOf({ strictGroups: () => false }, plain), 'admitted');
});

test('room is made for critical pods only, and only where nothing else is in the way', async () => {
  const asked: string[] = [];
  const makeRoom: AdmissionDeps['makeRoom'] = async (pod, _, shortages) => {
    asked.push(`${pod.metadata.name}: ${shortages.map(({ resource, amount }) => `${amount} ${resource}`)}`);
  };
  const large = podOf({ cpu: '3', memory: '1500Mi' });
  assert.equal(await reasonOf({ makeRoom }, large), 'OutOfcpu');
  assert.equal(
    await reasonOf({ makeRoom }, fromFile(podOf({ cpu: '3' }, { nodeSelector: { disk: 'fast' } }))),
    'NodeAffinity',
  );
  assert.deepEqual(asked, []);
  assert.equal(await reasonOf({ makeRoom }, fromFile(large)), 'admitted');
  assert.deepEqual(asked, [`p: 1000 cpu,${500 * Mi} memory`]);
  const full = { makeRoom: () => Promise.reject(new Error('nobody may go')) };
  const verdict = await admission({}, full).admit(fromFile(large), []);
  assert.deepEqual(verdict, {
    admit: false,
    reason: 'UnexpectedAdmissionError',
    message: 'Unexpected error while attempting to recover from admission failure: nobody may go',
  });
});
