/** What a change of the desired state leads to: one line for each rule of kubelet-facts 1 to 3. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Pod } from '#contracts/kubernetes/types.ts';
import { fakeClock } from '#foundation/base/fake-clock.ts';
import { silentLogger } from '#foundation/base/log.ts';
import type { PodUpdate } from '../config/pod-config.ts';
import { createSources } from '../config/sources.ts';
import { mirrorAnnotation } from '../pods/identity.ts';
import { createPodManager } from '../pods/pod-manager.ts';
import type { AdmitResult, KillHow } from '../ports.ts';
import { podOf } from '../testing/pods.ts';
import { handleUpdate } from './config-handlers.ts';
import type { LoopDeps } from './deps.ts';
import { createPodControl } from './kill.ts';

test('volumes of pods that no source has told of yet are left alone until all sources have', async () => {
  const reconciled: number[] = [];
  const deps = {
    sources: createSources(['file', 'api']),
    pods: { pods: () => [] },
    workers: { all: () => [] },
    volumes: { reconcile: (pods: unknown[]) => reconciled.push(pods.length) },
  } as unknown as LoopDeps;
  await handleUpdate(deps, { source: 'file', op: 'ADD', pods: [] });
  assert.deepEqual(reconciled, []);
  await handleUpdate(deps, { source: 'api', op: 'ADD', pods: [] });
  assert.deepEqual(reconciled, [0]);
});

/** Handlers over parts that write down what they were asked. */
function setup(verdict: AdmitResult = { admit: true }, ready = true) {
  const said: string[] = [];
  const pods = createPodManager();
  const sources = createSources(ready ? ['api'] : ['api', 'file']);
  sources.seen('api');
  const deps = {
    sources,
    pods,
    logger: silentLogger,
    workers: {
      all: () => [],
      get: () => undefined,
      update: ({ kind, pod, mirror }: { kind: string; pod: Pod; mirror?: Pod }) =>
        said.push(`${kind} ${pod.metadata.uid}${mirror === undefined ? '' : ` with ${mirror.metadata.uid}`}`),
    },
    statuses: {
      status: () => undefined,
      set: (pod: Pod, { phase, reason, message }: NonNullable<Pod['status']>) =>
        said.push(`status ${pod.metadata.uid} ${phase} ${reason} ${message}`),
    },
    events: {
      pod: (pod: Pod, type: string, reason: string, message: string) =>
        said.push(`event ${pod.metadata.uid} ${type} ${reason} ${message}`),
    },
    allocation: {
      allocated: (pod: Pod) => pod,
      wantsResize: () => false,
      setPending: () => {},
      grant: (pod: Pod) => said.push(`grant ${pod.metadata.uid}`),
    },
    admission: {
      admit: async (pod: Pod) => {
        said.push(`admit ${pod.metadata.uid}`);
        return verdict;
      },
      retain: () => {},
    },
    runtime: { counters: { podRejected: (reason: string) => said.push(`rejected ${reason}`) } },
    volumes: { reconcile: () => {} },
  } as unknown as LoopDeps;
  const take = async (op: PodUpdate['op'], ...list: Pod[]) => {
    said.splice(0);
    await handleUpdate(deps, { source: 'api', op, pods: list });
    return said;
  };
  return { take, pods };
}

const named = (uid: string, metadata: Partial<Pod['metadata']> = {}, spec: Partial<Pod['spec']> = {}) =>
  podOf(spec, { uid, name: uid, ...metadata });
const gated = { readinessGates: [{ conditionType: 'x.io/ok' }] };
const over = (pod: Pod): Pod => ({ ...pod, status: { phase: 'Succeeded' } });
const static_ = named('own', { name: 's', annotations: { 'kubernetes.io/config.source': 'file' } });
const mirror = named('shown', { name: 's', annotations: { [mirrorAnnotation]: 'own' } });

const rows: [rule: string, op: PodUpdate['op'], pods: Pod[], wanted: string[], before?: Pod[]][] = [
  ['a new pod is admitted, granted and begun', 'ADD', [named('a')], ['admit a', 'grant a', 'create a']],
  [
    'older pods come first, whatever their order',
    'ADD',
    [
      named('late', { creationTimestamp: '2026-01-02T00:00:00Z' }),
      named('early', { creationTimestamp: '2026-01-01T00:00:00Z' }),
    ],
    ['admit early', 'grant early', 'create early', 'admit late', 'grant late', 'create late'],
  ],
  ['a pod that is over is not admitted again', 'ADD', [over(named('a'))], ['create a']],
  [
    'nor is one that is deleted',
    'ADD',
    [named('a', { deletionTimestamp: '2026-01-01T00:00:00Z' })],
    ['create a'],
  ],
  [
    'a mirror that comes is for its static pod to compare',
    'ADD',
    [mirror],
    ['update own with shown'],
    [static_],
  ],
  ['a mirror of nothing starts nothing', 'ADD', [mirror], []],
  ['a change goes to the worker', 'UPDATE', [named('a', { labels: { n: '2' } })], ['update a'], [named('a')]],
  [
    'a deletion is a change',
    'DELETE',
    [named('a', { deletionTimestamp: '2026-01-01T00:00:00Z' })],
    ['update a'],
    [named('a')],
  ],
  ['a pod that is gone is ended', 'REMOVE', [named('a')], ['kill a'], [named('a')]],
  ['the end of a mirror never ends its static pod', 'REMOVE', [mirror], ['update own'], [static_, mirror]],
  ['another status alone is nothing to do', 'RECONCILE', [named('a')], [], [named('a')]],
  [
    'unless a readiness gate may have opened',
    'RECONCILE',
    [named('a', {}, gated)],
    ['sync a'],
    [named('a', {}, gated)],
  ],
  ['the status of a mirror is nobody’s business', 'RECONCILE', [mirror], [], [static_]],
];
for (const [rule, op, list, wanted, before = []] of rows)
  test(`${op}: ${rule}`, async () => {
    const { take, pods } = setup();
    for (const pod of before) pods.set(pod);
    assert.deepEqual(await take(op, ...list), wanted);
  });

test('REMOVE: before every source was seen a pod may stand in another', async () => {
  const { take, pods } = setup({ admit: true }, false);
  pods.set(named('a'));
  assert.deepEqual(await take('REMOVE', named('a')), []);
  assert.equal(pods.get('a'), undefined);
});

test('ADD: a rejected pod fails with the original’s words, an event, a count, and no worker', async () => {
  const { take } = setup({ admit: false, reason: 'OutOfcpu', message: 'too little' });
  assert.deepEqual(await take('ADD', named('a')), [
    'admit a',
    'event a Warning OutOfcpu too little',
    'status a Failed OutOfcpu Pod was rejected: too little',
    'rejected OutOfcpu',
  ]);
});

for (const [grace, spec, limit] of [
  [1, 30, 10_000],
  [undefined, 4, 10_000],
  [20, 30, 30_000],
  [undefined, 30, 45_000],
] as const)
  test(`whoever kills a pod with ${grace ?? `the pod's ${spec}`} s waits ${limit} ms at most`, async () => {
    const clock = fakeClock();
    const workers = { update: () => {}, stopped: () => new Promise<void>(() => {}) };
    const control = createPodControl({ workers, clock } as unknown as LoopDeps);
    const how: KillHow = { reason: 'Evicted', message: 'm', gracePeriodSeconds: grace };
    let failed = '';
    const killing = control.killPod(podOf({ terminationGracePeriodSeconds: spec }), how).catch((error) => {
      failed = String(error);
    });
    await clock.advance(limit - 1);
    assert.equal(failed, '');
    await clock.advance(1);
    await killing;
    assert.match(failed, new RegExp(`has not ended within ${limit} ms`));
  });
