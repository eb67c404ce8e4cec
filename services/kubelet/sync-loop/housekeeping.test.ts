/** What is put in order every two seconds, in the order of the original (kubelet-facts 2), over parts that record. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Pod } from '#contracts/kubernetes/types.ts';
import { silentLogger } from '#foundation/base/log.ts';
import type { WorkerState, WorkerUpdate } from '../pod-workers/state.ts';
import type { ListedPod } from '../runtime-manager/model.ts';
import type { LoopDeps } from './deps.ts';
import { housekeep } from './housekeeping.ts';

const podNamed = (uid: string, more: Partial<Pod['metadata']> = {}): Pod => ({
  metadata: { uid, name: uid, namespace: 'default', ...more },
  spec: { containers: [] },
});

interface Worker {
  uid: string;
  name: string;
  state: WorkerState;
  restartRequested?: boolean;
  orphan: boolean;
  update: WorkerUpdate;
}

/** A node as the test says, whose parts write down what they are asked. */
function setup() {
  const log: string[] = [];
  const node = {
    ready: true,
    relisted: 1 as number | undefined,
    desired: [] as Pod[],
    mirrors: [] as Pod[],
    workers: new Map<string, Worker>(),
    phases: new Map<string, string>(),
    listed: new Map<string, ListedPod>(),
    cgroups: [] as string[],
    directories: [] as string[],
    mounted: new Set<string>(),
    stuck: new Set<string>(),
  };
  const say = (text: string) => void log.push(text);
  const kept = (what: string) => (uids: ReadonlySet<string>) => say(`${what} of ${[...uids].sort()}`);
  const deps = {
    clock: { now: () => 5 },
    logger: silentLogger,
    sources: { allReady: () => node.ready },
    pleg: { lastRelist: () => node.relisted, pods: () => node.listed },
    pods: {
      pods: () => node.desired,
      get: (uid: string) => node.desired.find((each) => each.metadata.uid === uid),
      mirrors: () => node.mirrors,
      mirrorOf: () => undefined,
      staticOf: () => undefined,
    },
    workers: {
      all: () => node.workers.values(),
      get: (uid: string) => node.workers.get(uid),
      forget(uid: string) {
        say(`forget ${uid}`);
        node.workers.delete(uid);
      },
      update(update: WorkerUpdate) {
        const uid = update.pod.metadata.uid ?? '';
        say(`${update.kind} ${uid}${update.orphan === true ? ' (orphan)' : ''}`);
        node.workers.set(uid, { uid, name: uid, state: { phase: 'waiting' }, orphan: false, update });
      },
    },
    probes: { retain: kept('probes') },
    statuses: {
      retain: kept('statuses'),
      status: (uid: string) => ({ phase: node.phases.get(uid) }),
    },
    allocation: { retain: kept('allocations'), allocated: (pod: Pod) => pod },
    admission: { retain: kept('admitted') },
    mirrors: { remove: (pod: Pod) => say(`remove mirror ${pod.metadata.uid}`) },
    volumes: {
      reconcile: (pods: Pod[]) => say(`volumes of ${pods.map(({ metadata }) => metadata.uid)}`),
      held: async (uids: string[]) => {
        say(`look at the mounts of ${uids}`);
        return node.mounted;
      },
      async unmountAll(uid: string) {
        say(`unmount ${uid}`);
        if (node.stuck.has(uid)) throw new Error('busy');
      },
    },
    resources: {
      podCgroups: async () => node.cgroups,
      removePodCgroup: async (uid: string) => say(`remove cgroup ${uid}`),
    },
    directories: {
      list: () => node.directories,
      remove: async (uid: string) => say(`remove directory ${uid}`),
    },
    runtime: {
      backoff: { collect: (now: number) => say(`collect back-offs at ${now}`) },
      counters: { orphan: () => say('count an orphan') },
    },
  } as unknown as LoopDeps;
  const worker = (uid: string, state: WorkerState, more: Partial<Worker> = {}) =>
    node.workers.set(uid, {
      uid,
      name: uid,
      state,
      orphan: false,
      update: { kind: 'create', pod: podNamed(uid) },
      ...more,
    });
  const inRuntime = (uid: string, state: 'running' | 'exited') =>
    node.listed.set(uid, {
      uid,
      name: uid,
      namespace: 'default',
      sandboxes: [],
      containers: [{ name: 'c', state }],
    } as unknown as ListedPod);
  return { node, log, deps, worker, inRuntime };
}

const syncing: WorkerState = { phase: 'syncing', started: true };

test('workers, then what is kept, mirrors, missing pods, orphans, volumes, cgroups, directories, back-offs', async () => {
  const { node, log, deps, worker, inRuntime } = setup();
  node.desired = [podNamed('here'), podNamed('new')];
  worker('here', syncing);
  worker('removed', syncing);
  worker('finished', { phase: 'finished' });
  node.mirrors = [podNamed('mirror')];
  inRuntime('orphan', 'running');
  inRuntime('dead', 'exited');
  node.cgroups = ['here', 'gone', 'dead'];
  node.directories = ['here', 'gone', 'dead'];
  node.mounted.add('gone');
  await housekeep(deps);
  assert.deepEqual(log, [
    'kill removed',
    'forget finished',
    'probes of here,removed',
    'statuses of here,new,removed',
    'allocations of here,new,removed',
    'admitted of here,new,removed',
    'remove mirror mirror',
    'create new',
    'count an orphan',
    'kill orphan (orphan)',
    'volumes of here,removed,new,orphan',
    'remove cgroup gone',
    'remove cgroup dead',
    'look at the mounts of gone,dead',
    'unmount gone',
    'remove directory gone',
    'remove directory dead',
    'collect back-offs at 5',
  ]);
});

test('nothing is put in order before every source was seen and the runtime was listed', async () => {
  for (const not of ['sources', 'runtime']) {
    const { node, log, deps, worker } = setup();
    if (not === 'sources') node.ready = false;
    else node.relisted = undefined;
    worker('removed', syncing);
    node.directories = ['gone'];
    await housekeep(deps);
    assert.deepEqual(log, [], not);
  }
});

test('a pod that came again begins anew when its worker has finished; one that was rejected does not', async () => {
  const { node, log, deps, worker } = setup();
  node.desired = [podNamed('again'), podNamed('done'), podNamed('rejected'), podNamed('failed', {})];
  worker('again', { phase: 'finished' }, { restartRequested: true });
  worker('done', { phase: 'finished' });
  node.phases.set('rejected', 'Failed');
  node.desired[3] = { ...podNamed('failed'), status: { phase: 'Failed' } };
  node.phases.set('failed', 'Failed');
  await housekeep(deps);
  const done = log.filter((each) => /^(forget|create|kill)/.test(each));
  assert.deepEqual(done, ['forget again', 'create again', 'create failed']);
});

test('ending pods are not killed again, and what of them still runs keeps its cgroup', async () => {
  const { node, log, deps, worker, inRuntime } = setup();
  worker('ending', { phase: 'terminating', since: 0, graceSeconds: 30, kill: undefined });
  inRuntime('alive', 'running');
  node.cgroups = ['alive', 'ending'];
  await housekeep(deps);
  assert.deepEqual(
    log.filter((each) => /^(kill|remove)/.test(each)),
    ['kill alive (orphan)'],
  );
});

test('a volume that cannot be unmounted keeps its directory and stops nothing else', async () => {
  const { node, log, deps } = setup();
  node.directories = ['stuck', 'free'];
  node.mounted.add('stuck');
  node.stuck.add('stuck');
  await housekeep(deps);
  assert.deepEqual(
    log.filter((each) => /unmount|directory|back-offs/.test(each)),
    ['unmount stuck', 'remove directory free', 'collect back-offs at 5'],
  );
});
