import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { afterEach, test } from 'node:test';
import type { Pod } from '#contracts/kubernetes/types.ts';
import { silentLogger } from '#foundation/base/log.ts';
import { createCpuManager, reconcileCpus } from './cpu-manager.ts';
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
  const open = (all = cpus) => createCpuManager({ policy: 'static', cpus: all, reserved: [0, 1], stateFile });
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

test('whole CPUs of Guaranteed pods are theirs; the others share the rest', () => {
  const { open, stateFile } = setup();
  const manager = open();
  manager.allocate(podOf('a', '2', '500m'));
  manager.allocate(podOf('a', '2', '500m'));
  assert.equal(manager.cpusFor('a', 'c0'), '2-3');
  assert.equal(manager.cpusFor('a', 'c1'), '0-1,4-7');
  assert.equal(manager.cpusFor('unknown', 'x'), '0-1,4-7');
  assert.deepEqual(manager.exclusive('a', 'c1'), []);
  assert.throws(() => manager.allocate(podOf('b', '5')), /requested=5, available=4/);
  manager.allocate(podOf('b', '4'));
  assert.equal(manager.cpusFor('b', 'c0'), '4-7');
  assert.equal(manager.cpusFor('a', 'c1'), '0-1', 'reserved CPUs are shared, never given');
  assert.equal(JSON.parse(readFileSync(stateFile, 'utf8')).entries.b.c0, '4-7');
  const restarted = open();
  assert.equal(restarted.cpusFor('b', 'c0'), '4-7');
  restarted.retain(new Set(['a']));
  assert.equal(restarted.cpusFor('x', 'y'), '0-1,4-7');
});

test('Burstable pods share whatever they ask for', () => {
  const manager = setup().open();
  const pod = podOf('a', '2');
  pod.spec.containers[0]!.resources = { requests: { cpu: '2' } };
  manager.allocate(pod);
  assert.deepEqual(manager.exclusive('a', 'c0'), []);
});

test('a state of another machine is refused', () => {
  const { open } = setup();
  open().allocate(podOf('a', '4'));
  assert.throws(() => open(cpus.slice(0, 2)), /names CPUs that this machine has not/);
});

test('without a policy nobody is restricted', () => {
  const manager = createCpuManager({ policy: 'none', cpus, reserved: [], stateFile: '/nonexistent/state' });
  manager.allocate(podOf('a', '2'));
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
  manager.allocate(podOf('a', '2'));
  await reconcileCpus(deps, told, signal);
  assert.deepEqual(
    calls.map((call) => JSON.parse(call).linux.cpusetCpus),
    ['0-7', '0-1,4-7'],
  );
});

test('this machine’s CPUs are found', () => assert.ok(readCpus().length > 0));
