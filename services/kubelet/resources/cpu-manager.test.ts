import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { afterEach, test } from 'node:test';
import type { Pod } from '#contracts/kubernetes/types.ts';
import { silentLogger } from '#foundation/base/log.ts';
import { type CpuManager, type CpuManagerDeps, createCpuManager } from './cpu-manager.ts';
import { reconcileCpus } from './cpu-reconcile.ts';
import { formatCpus, parseCpus } from './cpu-set.ts';
import { type Cpu, readCpus, takePacked } from './cpu-topology.ts';

const roots: string[] = [];
afterEach(() => {
  for (const root of roots.splice(0)) rmSync(root, { recursive: true });
});

/** Two sockets of two cores of two threads: 0-3 and 4-7. */
const cpus: Cpu[] = Array.from({ length: 8 }, (_, id) => ({
  id,
  socket: id >> 2,
  core: `${id >> 2}/${id >> 1}`,
  numa: id >> 2,
}));

for (const [text, wanted] of [
  ['0-2,5', [0, 1, 2, 5]],
  ['', []],
  ['3', [3]],
  ['2,1,1-2', [1, 2]],
] as const)
  test(`the list "${text}"`, () => {
    assert.deepEqual(parseCpus(text), wanted);
    assert.deepEqual(parseCpus(formatCpus(wanted)), wanted);
  });

for (const [free, count, wanted] of [
  [[0, 1, 2, 3, 4, 5, 6, 7], 4, [0, 1, 2, 3]],
  [[1, 2, 3, 4, 5, 6, 7], 4, [4, 5, 6, 7]],
  [[1, 2, 3], 2, [2, 3]],
  [[1, 2, 3], 1, [1]],
  [[1], 2, undefined],
] as const)
  test(`${count} of ${formatCpus(free)}`, () => assert.deepEqual(takePacked(cpus, free, count), wanted));

function setup() {
  const root = mkdtempSync('/tmp/skiff-cpu-');
  roots.push(root);
  const stateFile = `${root}/cpu_manager_state`;
  const open = (all = cpus, more: Partial<CpuManagerDeps> = {}) =>
    createCpuManager({ policy: 'static', cpus: all, reserved: [0, 1], stateFile, ...more });
  return { stateFile, open };
}

const podOf = (uid: string, ...amounts: string[]): Pod => ({
  metadata: { name: uid, uid },
  spec: {
    containers: amounts.map((cpu, index) => ({
      name: `c${index}`,
      image: 'i',
      resources: { limits: { cpu, memory: '1Mi' } },
    })),
  },
});

/** As admission without a topology policy does. */
function give(manager: CpuManager, pod: Pod): void {
  for (const container of [...(pod.spec.initContainers ?? []), ...pod.spec.containers])
    manager.allocate(pod, container, undefined);
}

test('whole CPUs of Guaranteed pods are theirs; the others share the rest', () => {
  const { open, stateFile } = setup();
  const manager = open();
  give(manager, podOf('a', '2', '500m'));
  give(manager, podOf('a', '2', '500m'));
  assert.equal(manager.cpusFor('a', 'c0'), '2-3');
  assert.equal(manager.cpusFor('a', 'c1'), '0-1,4-7');
  assert.equal(manager.cpusFor('unknown', 'x'), '0-1,4-7');
  assert.deepEqual(manager.exclusive('a', 'c1'), []);
  assert.throws(() => give(manager, podOf('b', '5')), /requested=5, available=4/);
  give(manager, podOf('b', '4'));
  assert.equal(manager.cpusFor('b', 'c0'), '4-7');
  assert.equal(manager.cpusFor('a', 'c1'), '0-1', 'reserved CPUs are shared, never given');
  assert.equal(JSON.parse(readFileSync(stateFile, 'utf8')).entries.b.c0, '4-7');
  const restarted = open();
  assert.equal(restarted.cpusFor('b', 'c0'), '4-7');
  restarted.retain(new Set(['a']));
  assert.equal(restarted.cpusFor('x', 'y'), '0-1,4-7');
});

test('init containers hand their CPUs on; sidecars keep theirs', () => {
  const manager = setup().open();
  const pod = podOf('a', '2');
  const [container] = podOf('x', '4').spec.containers;
  const [sidecar] = podOf('x', '2').spec.containers;
  pod.spec.initContainers = [
    { ...container!, name: 'i' },
    { ...sidecar!, name: 's', restartPolicy: 'Always' },
  ];
  give(manager, pod);
  assert.deepEqual(manager.exclusive('a', 'i'), [4, 5, 6, 7]);
  assert.deepEqual(manager.exclusive('a', 's'), [4, 5]);
  assert.deepEqual(manager.exclusive('a', 'c0'), [6, 7]);
  assert.equal(manager.cpusFor('b', 'x'), '0-3');
});

test('full-pcpus-only refuses half cores; strict-cpu-reservation shares no reserved CPU', () => {
  const manager = setup().open(cpus, { fullCoresOnly: true, strictReservation: true });
  const pod = podOf('a', '3');
  assert.deepEqual(manager.refuses?.(pod, pod.spec.containers[0]!), {
    reason: 'SMTAlignmentError',
    message: 'SMT Alignment Error: requested 3 cpus not multiple cpus per core = 2',
  });
  const even = podOf('b', '2');
  assert.equal(manager.refuses?.(even, even.spec.containers[0]!), undefined);
  assert.equal(manager.cpusFor('x', 'y'), '2-7');
});

test('hints name the sockets with room; an affinity is kept as far as it goes', () => {
  const manager = setup().open();
  const hintsOf = (pod: Pod) => [...(manager.hints(pod, pod.spec.containers[0]!).get('cpu') ?? [])];
  assert.deepEqual(hintsOf(podOf('a', '2')), [
    { affinity: 1, preferred: true },
    { affinity: 2, preferred: true },
    { affinity: 3, preferred: false },
  ]);
  // Socket 0 has two CPUs that are not reserved, but would have had four.
  assert.deepEqual(hintsOf(podOf('a', '4')), [
    { affinity: 2, preferred: true },
    { affinity: 3, preferred: false },
  ]);
  assert.deepEqual(hintsOf(podOf('a', '7')), []);
  assert.equal(manager.hints(podOf('a', '500m'), podOf('a', '500m').spec.containers[0]!).size, 0);
  const pod = podOf('b', '3');
  manager.allocate(pod, pod.spec.containers[0]!, 1);
  assert.deepEqual(manager.exclusive('b', 'c0'), [2, 3, 4]);
  assert.deepEqual(hintsOf(pod), [{ affinity: 3, preferred: false }], 'what is held stays where it is');
});

test('Burstable pods share whatever they ask for', () => {
  const manager = setup().open();
  const pod = podOf('a', '2');
  pod.spec.containers[0]!.resources = { requests: { cpu: '2' } };
  give(manager, pod);
  assert.deepEqual(manager.exclusive('a', 'c0'), []);
});

test('a state of another machine is refused', () => {
  const { open } = setup();
  give(open(), podOf('a', '4'));
  assert.throws(() => open(cpus.slice(0, 2)), /names CPUs that this machine has not/);
});

test('a state of another policy has nobody in it, and a damaged one is refused with what to do', () => {
  const { open, stateFile } = setup();
  writeFileSync(stateFile, '{"policyName":"none","defaultCpuSet":"","checksum":1353318690}');
  assert.deepEqual(open().exclusive('a', 'c0'), []);
  writeFileSync(stateFile, '{"policyName":"sta');
  assert.throws(() => open(), /Cannot read which CPUs .*drain the node and delete the file/);
});

test('without a policy nobody is restricted', () => {
  const manager = createCpuManager({ policy: 'none', cpus, reserved: [], stateFile: '/nonexistent/state' });
  give(manager, podOf('a', '2'));
  assert.equal(manager.cpusFor('a', 'c0'), '');
});

test('running containers are told when their CPUs change, once', async () => {
  const manager = setup().open();
  const calls: string[] = [];
  const labels = { 'io.kubernetes.pod.uid': 'x', 'io.kubernetes.container.name': 'y' };
  const deps = {
    manager,
    log: silentLogger,
    cri: {
      listContainers: async () => ({ containers: [{ id: 'one', labels }] }) as never,
      updateContainerResources: async (request: object) => {
        calls.push(JSON.stringify(request));
        return {} as never;
      },
    },
  };
  const told = new Map<string, string>();
  const { signal } = new AbortController();
  await reconcileCpus(deps, told, signal);
  await reconcileCpus(deps, told, signal);
  give(manager, podOf('a', '2'));
  await reconcileCpus(deps, told, signal);
  assert.deepEqual(
    calls.map((call) => JSON.parse(call).linux.cpusetCpus),
    ['0-7', '0-1,4-7'],
  );
});

test('this machine’s CPUs are found', () => assert.ok(readCpus().length > 0));
