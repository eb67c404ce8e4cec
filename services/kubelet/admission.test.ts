import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Pod } from '#contracts/kubernetes/types.ts';
import { createAdmission } from './admission.ts';
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

const admission = (more: Partial<NodeResources> = {}, holds?: (pod: Pod, resource: string) => boolean) =>
  createAdmission(
    { name: 'node1', allocatable: () => ({ ...allocatable, ...more }) },
    { zone: 'here' },
    holds,
  );

const podOf = (requests: Record<string, string>, spec: Partial<Pod['spec']> = {}): Pod => ({
  metadata: { name: 'p', uid: 'p' },
  spec: { containers: [{ name: 'c', image: 'i', resources: { requests } }], ...spec },
});
const listening = (hostPort: number, hostIP?: string, protocol?: string): Pod =>
  podOf({}, { containers: [{ name: 'c', ports: [{ containerPort: 80, hostPort, hostIP, protocol }] }] });

const plain = podOf({});
const rows: [name: string, pod: Pod, others: Pod[], reason: string | undefined, message?: RegExp][] = [
  ['nothing asked for', plain, [], undefined],
  ['another system', podOf({}, { os: { name: 'windows' } }), [], 'PodOSNotSupported'],
  ['a label of the node', podOf({}, { nodeSelector: { zone: 'here' } }), [], undefined],
  ['its name', podOf({}, { nodeSelector: { 'kubernetes.io/hostname': 'node1' } }), [], undefined],
  ['a label it has not', podOf({}, { nodeSelector: { zone: 'there' } }), [], 'NodeAffinity'],
  ['a port that is taken', listening(80), [listening(80)], 'NodePorts'],
  ['the port of another address', listening(80, '10.0.0.1'), [listening(80, '10.0.0.2')], undefined],
  ['the port of all addresses', listening(80, '10.0.0.1'), [listening(80)], 'NodePorts'],
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
  assert.equal((await admission(broken, () => true).admit(pod, [])).admit, true);
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
