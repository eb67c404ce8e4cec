/** Phases, conditions and container statuses: one line for each rule of kubelet-facts 4. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ContainerStatus, Pod, PodStatus } from '#contracts/kubernetes/types.ts';
import type { RuntimePodStatus } from '../runtime-manager/model.ts';
import { podOf, record, runtimeOf, sandbox } from '../testing/pods.ts';
import { condition, inits, type Options, sidecars, start, statusOf, two } from '../testing/statuses.ts';
import { createStatusManager } from './manager.ts';
import { qosClassOf } from './qos.ts';
import { mergeStatus } from './writer.ts';

const staticPod = (spec: Partial<Pod['spec']>) =>
  podOf(spec, { annotations: { 'kubernetes.io/config.source': 'file' } });
const waitsFor = { a: { reason: 'CrashLoopBackOff', message: 'back-off 10s' } };

const phaseRows: [string, Pod, RuntimePodStatus, Options, string][] = [
  ['nothing made yet', podOf(), runtimeOf([]), {}, 'Pending'],
  ['all run', podOf(two), runtimeOf(['a running', 'b running']), {}, 'Running'],
  ['one not made yet', podOf(two), runtimeOf(['a running']), {}, 'Pending'],
  ['init running', podOf(inits), runtimeOf(['i running']), {}, 'Pending'],
  [
    'init failed for good',
    podOf({ ...inits, restartPolicy: 'Never' }),
    runtimeOf(['i exited 1']),
    {},
    'Failed',
  ],
  ['init failed and restarts', podOf(inits), runtimeOf(['i exited 1']), {}, 'Pending'],
  ['init done, regular not yet', podOf(inits), runtimeOf(['i exited 0']), {}, 'Pending'],
  ['sidecar not started', podOf(sidecars), runtimeOf(['s created']), {}, 'Pending'],
  ['sidecar and regular run', podOf(sidecars), runtimeOf(['a running', 's running']), {}, 'Running'],
  ['Always: ended is Running', podOf(), runtimeOf(['a exited 0']), {}, 'Running'],
  ['crash loop is Running', podOf(), runtimeOf(['a exited 1']), { causes: waitsFor }, 'Running'],
  [
    'OnFailure: failed is Running',
    podOf({ restartPolicy: 'OnFailure' }),
    runtimeOf(['a exited 1']),
    {},
    'Running',
  ],
  [
    'OnFailure: all succeeded',
    podOf({ restartPolicy: 'OnFailure' }),
    runtimeOf(['a exited 0']),
    {},
    'Succeeded',
  ],
  [
    'Never: one failed',
    podOf({ ...two, restartPolicy: 'Never' }),
    runtimeOf(['a exited 0', 'b exited 1']),
    {},
    'Failed',
  ],
  [
    'Never: one runs on',
    podOf({ ...two, restartPolicy: 'Never' }),
    runtimeOf(['a exited 1', 'b running']),
    {},
    'Running',
  ],
  [
    'a sidecar that runs does not keep a done pod Running',
    podOf({ ...sidecars, restartPolicy: 'Never' }),
    runtimeOf(['a exited 0', 's running']),
    {},
    'Succeeded',
  ],
  ['ended for good, by exits', podOf(), runtimeOf(['a exited 0']), { terminated: true }, 'Succeeded'],
  ['ended for good, failed', podOf(), runtimeOf(['a exited 143']), { terminated: true }, 'Failed'],
  [
    'a static pod that ends may come again',
    staticPod({}),
    runtimeOf(['a exited 143']),
    { terminated: true },
    'Running',
  ],
  ['a terminal phase stays', podOf(), runtimeOf(['a running']), { before: { phase: 'Failed' } }, 'Failed'],
];

for (const [rule, pod, has, options, phase] of phaseRows) {
  test(`phase: ${rule}`, () => assert.equal(statusOf(pod, has, options).phase, phase));
}

test('activeDeadlineSeconds fails the pod, with its reason', () => {
  const pod = podOf({ activeDeadlineSeconds: 5 });
  const before: PodStatus = { phase: 'Running', startTime: '2026-01-01T00:00:00Z' };
  const early = statusOf(pod, runtimeOf(['a running']), { before, now: start + 4000 });
  assert.equal(early.phase, 'Running');
  const late = statusOf(pod, runtimeOf(['a running']), { before, now: start + 5000 });
  assert.deepEqual([late.phase, late.reason], ['Failed', 'DeadlineExceeded']);
  const later = statusOf(pod, runtimeOf(['a exited 143']), { before: late, now: start + 9000 });
  assert.deepEqual([later.phase, later.reason], ['Failed', 'DeadlineExceeded']);
});

const only = (status: PodStatus): ContainerStatus | undefined => status.containerStatuses?.[0];

test('waiting: ContainerCreating, or PodInitializing when there are init containers', () => {
  assert.equal(only(statusOf(podOf(), runtimeOf([])))?.state?.waiting?.reason, 'ContainerCreating');
  assert.equal(only(statusOf(podOf(inits), runtimeOf([])))?.state?.waiting?.reason, 'PodInitializing');
});

test('a container that cannot be started says why, and what became of it before', () => {
  const status = only(statusOf(podOf(), runtimeOf(['a exited 3']), { causes: waitsFor }));
  assert.deepEqual(status?.state, { waiting: { reason: 'CrashLoopBackOff', message: 'back-off 10s' } });
  assert.equal(status?.lastState?.terminated?.exitCode, 3);
});

test('a restarted container tells of its last end', () => {
  const has = runtimeOf([
    record('a running', { id: 'n', restartCount: 1, createdAt: 9000 }),
    record('a exited 4', { id: 'o' }),
  ]);
  const status = only(statusOf(podOf(), has));
  assert.equal(status?.containerID, 'skiff://n');
  assert.equal(status?.restartCount, 1);
  assert.equal(status?.lastState?.terminated?.exitCode, 4);
  assert.equal(status?.lastState?.terminated?.containerID, 'skiff://o');
});

test('the last end is kept after its record was collected', () => {
  const first = statusOf(podOf(), runtimeOf(['a exited 4']));
  const second = statusOf(podOf(), runtimeOf([record('a running', { id: 'n', restartCount: 1 })]), {
    before: first,
  });
  assert.equal(only(second)?.lastState?.terminated?.exitCode, 4);
  const third = statusOf(podOf(), runtimeOf([record('a running', { id: 'n', restartCount: 1 })]), {
    before: second,
  });
  assert.equal(only(third)?.lastState?.terminated?.exitCode, 4);
});

test('a container that was lost: ContainerStatusUnknown, 137, one more restart', () => {
  const before = statusOf(podOf(), runtimeOf(['a running']));
  const status = only(statusOf(podOf(), runtimeOf([]), { before }));
  assert.equal(status?.lastState?.terminated?.reason, 'ContainerStatusUnknown');
  assert.equal(status?.lastState?.terminated?.exitCode, 137);
  assert.equal(status?.restartCount, 1);
});

test('a completed init container whose record is gone is Completed', () => {
  const status = statusOf(podOf(inits), runtimeOf(['a running']));
  assert.equal(status.initContainerStatuses?.[0]?.state?.terminated?.reason, 'Completed');
  assert.equal(status.initContainerStatuses?.[0]?.ready, true);
});

test('ready and started follow the probes', () => {
  const see = (options: Options) => {
    const status = only(statusOf(podOf(), runtimeOf(['a running']), options));
    return [status?.started, status?.ready];
  };
  assert.deepEqual(see({}), [true, true]);
  assert.deepEqual(see({ workers: ['startup a', 'readiness a'] }), [false, false]);
  assert.deepEqual(see({ workers: ['startup a'], probes: { 'startup id-a': 'success' } }), [true, true]);
  assert.deepEqual(see({ workers: ['readiness a'], probes: { 'readiness id-a': 'success' } }), [true, true]);
  assert.deepEqual(see({ workers: ['readiness a'], probes: { 'readiness id-a': 'failure' } }), [true, false]);
});

test('statuses are sorted by name, init containers stay in order, messages are cut to their share', () => {
  const pod = podOf({
    containers: [{ name: 'b' }, { name: 'a' }],
    initContainers: [{ name: 'z' }, { name: 'y' }],
    restartPolicy: 'Never',
  });
  const long = 'x'.repeat(9000);
  const status = statusOf(
    pod,
    runtimeOf([record('b exited 1', { message: long }), 'a running', 'y exited 0', 'z exited 0']),
  );
  assert.deepEqual(
    status.containerStatuses?.map(({ name }) => name),
    ['a', 'b'],
  );
  assert.deepEqual(
    status.initContainerStatuses?.map(({ name }) => name),
    ['z', 'y'],
  );
  assert.equal(status.containerStatuses?.[1]?.state?.terminated?.message?.length, 12_288 / 4);
});

test('addresses: host addresses only with an API, one pod address of each family', () => {
  const dual = runtimeOf(['a running'], [sandbox({ ips: ['10.0.0.1', 'fd00::1', '10.0.0.2'] })]);
  const alone = statusOf(podOf(), dual);
  assert.deepEqual([alone.hostIP, alone.podIP, alone.podIPs?.length], [undefined, '10.0.0.1', 2]);
  const joined = statusOf(podOf(), dual, { hostIps: ['fd00::9', '192.0.2.1'] });
  assert.deepEqual([joined.hostIP, joined.podIP], ['fd00::9', 'fd00::1']);
  const host = statusOf(podOf({ hostNetwork: true }), runtimeOf(['a running'], [sandbox({ ips: [] })]), {
    hostIps: ['192.0.2.1'],
  });
  assert.equal(host.podIP, '192.0.2.1');
});

const qosRows: [string, Pod, string][] = [
  ['nothing asked', podOf(), 'BestEffort'],
  ['a request', podOf({ containers: [{ name: 'a', resources: { requests: { cpu: '1' } } }] }), 'Burstable'],
  [
    'both limits',
    podOf({ containers: [{ name: 'a', resources: { limits: { cpu: '1', memory: '1Gi' } } }] }),
    'Guaranteed',
  ],
  [
    'limits with smaller requests',
    podOf({
      containers: [
        { name: 'a', resources: { limits: { cpu: '1', memory: '1Gi' }, requests: { cpu: '500m' } } },
      ],
    }),
    'Burstable',
  ],
  [
    'equal in other words',
    podOf({
      containers: [
        {
          name: 'a',
          resources: { limits: { cpu: '1', memory: '1Gi' }, requests: { cpu: '1000m', memory: '1024Mi' } },
        },
      ],
    }),
    'Guaranteed',
  ],
  [
    'an init container counts',
    podOf({ containers: [{ name: 'a', resources: { limits: { cpu: '1', memory: '1Gi' } } }], ...inits }),
    'Burstable',
  ],
  [
    'pod-level resources replace',
    podOf({ resources: { limits: { cpu: '1', memory: '1Gi' } } }),
    'Guaranteed',
  ],
  [
    'zero is nothing',
    podOf({ containers: [{ name: 'a', resources: { requests: { cpu: '0' } } }] }),
    'BestEffort',
  ],
];

for (const [rule, pod, qos] of qosRows) test(`QoS: ${rule}`, () => assert.equal(qosClassOf(pod), qos));

test('the status manager: versions, probes, and a final status that leaves nothing open', () => {
  const manager = createStatusManager({ now: () => start, monotonic: () => 0 });
  const pod = podOf(two);
  const changes: string[] = [];
  manager.subscribe((uid) => changes.push(uid));
  const status = statusOf(pod, runtimeOf(['a running', 'b running']), { workers: ['readiness a'] });
  assert.equal(manager.set(pod, status), true);
  assert.equal(manager.set(pod, structuredClone(status)), false);
  manager.setProbed(pod, 'id-a', 'ready', true);
  assert.equal(condition(manager.status('u1') ?? {}, 'Ready'), 'True');
  manager.setProbed(pod, 'id-b', 'ready', false);
  assert.equal(condition(manager.status('u1') ?? {}, 'Ready').startsWith('False ContainersNotReady'), true);
  manager.terminate(pod);
  const final = manager.status('u1');
  assert.equal(final?.phase, 'Failed');
  assert.ok(final?.containerStatuses?.every(({ state }) => state?.terminated?.exitCode === 137));
  manager.finish(pod);
  assert.equal(manager.get('u1')?.finished, true);
  assert.equal(changes.length, 5);
  manager.retain(new Set());
  assert.equal(manager.status('u1'), undefined);
});

test('a terminal phase is held back from the API while containers may run', () => {
  const own: PodStatus = {
    phase: 'Succeeded',
    conditions: [{ type: 'Ready', status: 'False', reason: 'PodCompleted' }],
  };
  const current: PodStatus = { phase: 'Running', conditions: [{ type: 'x.io/mine', status: 'True' }] };
  const held = mergeStatus(current, structuredClone(own), true);
  assert.equal(held.phase, 'Running');
  assert.deepEqual(
    held.conditions?.map(({ type }) => type),
    ['Ready', 'x.io/mine'],
  );
  assert.equal(mergeStatus(current, structuredClone(own), false).phase, 'Succeeded');
});
