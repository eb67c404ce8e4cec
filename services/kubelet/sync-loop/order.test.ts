/** In which order a pod gets and loses what it has (kubelet-facts 3), and what is left out when something fails. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Pod, PodStatus } from '#contracts/kubernetes/types.ts';
import { fakeClock } from '#foundation/base/fake-clock.ts';
import { createSources } from '../config/sources.ts';
import { podOf, runtimeOf } from '../testing/pods.ts';
import { generateDeps } from '../testing/statuses.ts';
import type { LoopDeps } from './deps.ts';
import { finishPod, terminatePod } from './end-pod.ts';
import { syncPod } from './sync-pod.ts';

interface Faults {
  /** The step that fails. */
  failing?: string;
  network?: string[];
  /** What the runtime has after a stop. */
  after?: ReturnType<typeof runtimeOf>;
}

/** Every part writes its step down; one of them fails if that is wanted. */
function setup({ failing, network = [], after = runtimeOf(['a exited 0']) }: Faults = {}) {
  const steps: string[] = [];
  const step = (name: string) => {
    steps.push(name);
    if (name === failing) throw new Error(`${name} fails`);
  };
  const statuses = new Map<string, PodStatus>();
  const runtime = {
    counters: { podStarted() {}, podFailed() {}, sandboxSeconds() {} },
    sandboxes: new Map(),
    events: { pod: () => {} },
    clock: fakeClock(),
    requestTimeoutMs: 1000,
    probes: { result: () => undefined },
    actuated: { actuated: () => undefined },
    dynamicResources: { unprepare: async () => step('claims') },
    // The first thing that a new pod asks of the runtime manager.
    onResized: () => step('runtime'),
    runtime: { stopContainer: async () => step('stop'), stopPodSandbox: async () => step('stop sandbox') },
    hooks: {},
  };
  const deps = {
    clock: fakeClock(),
    sources: createSources([]),
    volumeTimeoutMs: 1000,
    allocation: { allocated: (pod: Pod) => pod },
    generate: generateDeps(),
    pods: { pods: () => [] },
    workers: { all: () => [] },
    statuses: {
      status: (uid: string) => statuses.get(uid),
      set: (pod: Pod, status: PodStatus) => {
        step(`status ${status.phase}`);
        statuses.set(pod.metadata.uid ?? '', status);
      },
      terminate: () => step('terminate status'),
      finish: () => step('finish status'),
    },
    runtimeState: { networkErrors: () => network },
    api: { registerPod: () => step('register'), unregisterPod: () => step('unregister') },
    resources: {
      podCgroupExists: () => false,
      updateQos: async () => step('qos'),
      createPodCgroup: async () => step('cgroup'),
      removePodCgroup: async () => step('remove cgroup'),
    },
    mirrors: { reconcile: () => step('mirror') },
    directories: { make: () => step('directories') },
    volumes: {
      waitForMounts: async () => {
        step('volumes');
        return new Map();
      },
      unmountAll: async () => step('unmount'),
    },
    probes: {
      add: () => step('probes'),
      remove: () => step('remove probes'),
      stopLivenessAndStartup: () => step('stop liveness'),
    },
    pleg: { fresh: async () => after, refresh: () => {} },
    reasons: { update: () => {}, forget: () => {} },
    admission: { retain: () => {} },
    events: { pod: (_: Pod, __: string, reason: string) => steps.push(`event ${reason}`) },
    runtime,
  } as unknown as LoopDeps;
  return { deps, steps };
}

const { signal } = new AbortController();
const fromFile = podOf({}, { annotations: { 'kubernetes.io/config.source': 'file' } });
const host = podOf({ hostNetwork: true });
const never = podOf({ restartPolicy: 'Never' });
const before = [
  'status Pending',
  'register',
  'qos',
  'cgroup',
  'mirror',
  'directories',
  'volumes',
  'probes',
  'runtime',
];
const without = (...left: string[]) => before.filter((each) => !left.includes(each));

const syncs: [rule: string, pod: Pod, faults: Faults, wanted: string[]][] = [
  ['everything, in the original’s order', fromFile, { failing: 'runtime' }, before],
  ['a pod of the API has no mirror', podOf(), { failing: 'runtime' }, without('mirror')],
  [
    'without a network nothing is made',
    podOf(),
    { network: ['no CNI'] },
    ['status Pending', 'event NetworkNotReady'],
  ],
  ['but for the node’s own network', host, { network: ['no CNI'], failing: 'runtime' }, without('mirror')],
  [
    'without a cgroup no volume is touched',
    fromFile,
    { failing: 'cgroup' },
    ['status Pending', 'register', 'qos', 'cgroup', 'event FailedToCreatePodContainer'],
  ],
  [
    'without its volumes nothing is probed or started',
    fromFile,
    { failing: 'volumes' },
    [...before.slice(0, 7), 'event FailedMount'],
  ],
];
for (const [rule, pod, faults, wanted] of syncs)
  test(`a sync: ${rule}`, async () => {
    const { deps, steps } = setup(faults);
    const update = { kind: 'sync' as const, pod };
    await assert.rejects(syncPod(deps, update, runtimeOf([], []), signal));
    assert.deepEqual(steps, wanted);
  });

test('a sync: a pod that is over is only told of', async () => {
  const { deps, steps } = setup();
  const result = await syncPod(deps, { kind: 'sync', pod: never }, runtimeOf(['a exited 0']), signal);
  assert.deepEqual([result.terminal, steps], [true, ['status Succeeded']]);
});

const how = { graceSeconds: 1, orphan: false };
const ended = ['status Running', 'stop liveness', 'stop', 'stop sandbox', 'remove probes', 'claims'];
const ends: [rule: string, faults: Faults, orphan: boolean, wanted: string[], error?: RegExp][] = [
  ['status, liveness, containers, probes, claims, status', {}, false, [...ended, 'status Succeeded']],
  ['an orphan has no status', {}, true, ended.slice(2)],
  [
    'what cannot be stopped keeps its probes and claims',
    { failing: 'stop' },
    false,
    ['status Running', 'stop liveness', 'stop', 'event FailedKillPod'],
    /Cannot end pod ns\/p/,
  ],
  [
    'what still runs after the stop is no end',
    { after: runtimeOf(['a running']) },
    false,
    ended.slice(0, 5),
    /still there after the stop: a \(running\)/,
  ],
];
for (const [rule, faults, orphan, wanted, error] of ends)
  test(`an end: ${rule}`, async () => {
    const { deps, steps } = setup(faults);
    const ending = terminatePod(deps, podOf(), runtimeOf(['a running']), { ...how, orphan }, signal);
    if (error === undefined) await ending;
    else await assert.rejects(ending, error);
    assert.deepEqual(
      steps.filter((each, index) => each !== 'stop sandbox' || error === undefined || index < 5),
      wanted,
    );
  });

const finishes: [rule: string, faults: Faults, wanted: string[]][] = [
  [
    'volumes, references, cgroup, and the last word',
    {},
    ['status Succeeded', 'unmount', 'unregister', 'remove cgroup', 'qos', 'remove probes', 'finish status'],
  ],
  [
    'a volume that stays keeps everything else, and says so',
    { failing: 'unmount' },
    ['status Succeeded', 'unmount', 'event FailedUnMount'],
  ],
  [
    'a cgroup that stays keeps the object of the API',
    { failing: 'remove cgroup' },
    ['status Succeeded', 'unmount', 'unregister', 'remove cgroup'],
  ],
];
for (const [rule, faults, wanted] of finishes)
  test(`a finish: ${rule}`, async () => {
    const { deps, steps } = setup(faults);
    const finishing = finishPod(deps, podOf(), runtimeOf(['a exited 0']), signal);
    if (faults.failing === undefined) await finishing;
    else await assert.rejects(finishing, new RegExp(`${faults.failing} fails`));
    assert.deepEqual(steps, wanted);
  });
