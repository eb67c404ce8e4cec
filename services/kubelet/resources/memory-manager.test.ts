import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { afterEach, test } from 'node:test';
import type { Pod } from '#contracts/kubernetes/types.ts';
import { withDefaults } from '../configuration/defaults.ts';
import { createMemoryManager, type MemoryManager } from './memory-manager.ts';
import { reservedMemory } from './memory-reserved.ts';
import type { NumaNode } from './topology/numa.ts';

const roots: string[] = [];
afterEach(() => {
  for (const root of roots.splice(0)) rmSync(root, { recursive: true });
});

const Gi = 2 ** 30;
const node = (id: number, gib: number): NumaNode => ({
  id,
  cpus: [],
  memory: gib * Gi,
  hugePages: new Map([['1Gi', Gi]]),
  distances: [],
});

/** Two nodes of 10 GiB: 1 in huge pages, 1 kept back for the system, 8 to give. */
function setup() {
  const root = mkdtempSync('/tmp/skiff-mem-');
  roots.push(root);
  const stateFile = `${root}/memory_manager_state`;
  const kept = new Map([['memory', Gi]]);
  const reserved = new Map([
    [0, kept],
    [1, kept],
  ]);
  const open = (nodes = [node(0, 10), node(1, 10)]) =>
    createMemoryManager({ policy: 'Static', nodes, reserved, stateFile });
  return { stateFile, open };
}

const container = (name: string, gib: number, pages = 0) => ({
  name,
  image: 'i',
  resources: {
    limits: { cpu: '1', memory: `${gib}Gi`, ...(pages > 0 ? { 'hugepages-1Gi': `${pages}Gi` } : {}) },
  },
});
const podOf = (uid: string, ...gibs: number[]): Pod => ({
  metadata: { name: uid, uid },
  spec: { containers: gibs.map((gib, index) => container(`c${index}`, gib)) },
});

function give(manager: MemoryManager, pod: Pod, affinity?: number): void {
  for (const each of [...(pod.spec.initContainers ?? []), ...pod.spec.containers])
    manager.allocate(pod, each, affinity);
}

const hintsOf = (manager: MemoryManager, pod: Pod) =>
  manager
    .hints(pod, pod.spec.containers[0]!)
    .get('memory')
    ?.map(({ affinity, preferred }) => `${affinity}${preferred ? '+' : ''}`)
    .join(' ');

test('memory is promised on one node as long as one has enough, and kept over a restart', () => {
  const { open, stateFile } = setup();
  const manager = open();
  assert.equal(hintsOf(manager, podOf('a', 5)), '1+ 2+ 3');
  give(manager, podOf('a', 5));
  give(manager, podOf('a', 5));
  assert.equal(manager.memsFor('a', 'c0'), '0');
  assert.equal(hintsOf(manager, podOf('b', 5)), '2+', 'node 0 serves alone: it joins no set');
  give(manager, podOf('b', 5));
  assert.equal(manager.memsFor('b', 'c0'), '1');
  assert.equal(hintsOf(manager, podOf('c', 5)), '');
  assert.throws(() => give(manager, podOf('c', 5)), /not enough memory on any set of NUMA nodes/);
  const state = JSON.parse(readFileSync(stateFile, 'utf8'));
  assert.equal(state.policyName, 'Static');
  assert.deepEqual(state.entries.a, { c0: [{ numaAffinity: [0], type: 'memory', size: 5 * Gi }] });
  assert.deepEqual(state.machineState['0'], {
    numberOfAssignments: 1,
    memoryMap: {
      memory: { total: 10 * Gi, systemReserved: Gi, allocatable: 8 * Gi, reserved: 5 * Gi, free: 3 * Gi },
      'hugepages-1Gi': { total: Gi, systemReserved: 0, allocatable: Gi, reserved: 0, free: Gi },
    },
    cells: [0],
  });
  const restarted = open();
  assert.equal(restarted.memsFor('b', 'c0'), '1');
  restarted.retain(new Set(['b']));
  assert.equal(restarted.memsFor('a', 'c0'), '');
  assert.equal(hintsOf(restarted, podOf('c', 5)), '1+');
});

test('more than a node has ties two together', () => {
  const manager = setup().open();
  assert.equal(hintsOf(manager, podOf('a', 12)), '3+');
  give(manager, podOf('a', 12));
  assert.equal(manager.memsFor('a', 'c0'), '0-1');
  assert.equal(hintsOf(manager, podOf('b', 2)), '3', 'a tied node serves its set only');
  give(manager, podOf('b', 2));
  assert.equal(manager.memsFor('b', 'c0'), '0-1');
  assert.equal(hintsOf(manager, podOf('c', 3)), '');
});

test('an affinity is kept where it fits, and widened where it does not', () => {
  const manager = setup().open();
  give(manager, podOf('a', 3), 2);
  assert.equal(manager.memsFor('a', 'c0'), '1');
  const other = setup().open();
  give(other, podOf('b', 9), 2);
  assert.equal(other.memsFor('b', 'c0'), '0-1');
});

test('huge pages are promised with the memory', () => {
  const manager = setup().open();
  const pod = podOf('a');
  pod.spec.containers = [container('c', 1, 1)];
  give(manager, pod);
  assert.deepEqual(
    manager.blocks('a', 'c').map(({ type, size }) => [type, size]),
    [
      ['memory', Gi],
      ['hugepages-1Gi', Gi],
    ],
  );
  const next = podOf('b');
  next.spec.containers = [container('c', 1, 1)];
  give(manager, next);
  assert.equal(manager.memsFor('b', 'c'), '1');
});

test('init containers hand their memory on', () => {
  const { open, stateFile } = setup();
  const manager = open();
  const pod = podOf('a', 4, 3);
  pod.spec.initContainers = [container('i', 6)];
  give(manager, pod);
  const { machineState } = JSON.parse(readFileSync(stateFile, 'utf8'));
  assert.equal(machineState['0'].memoryMap.memory.reserved, 7 * Gi, 'not 13');
});

test('other pods may use any node', () => {
  const manager = setup().open();
  const pod = podOf('a', 2);
  pod.spec.containers[0]!.resources = { requests: { memory: '2Gi' } };
  give(manager, pod);
  assert.equal(manager.memsFor('a', 'c0'), '');
  assert.equal(manager.hints(pod, pod.spec.containers[0]!).size, 0);
  assert.equal(manager.allocatable().find(({ type }) => type === 'memory')?.size, 8 * Gi);
});

test('a state of another machine is refused', () => {
  const { open } = setup();
  give(open(), podOf('a', 7), 2);
  assert.throws(() => open([node(0, 10)]), /there is no NUMA node 1.*drain the node/);
  assert.throws(() => open([node(0, 10), node(1, 4)]), /promised from nodes 1 that have/);
});

test('a broken state file is refused with its name', () => {
  const { open, stateFile } = setup();
  writeFileSync(stateFile, '{"policyName"');
  assert.throws(() => open(), /memory_manager_state/);
});

test('what the nodes keep back must be what the node reserves', () => {
  const stated = (limits: Record<string, string>, numaNode = 0) =>
    withDefaults(
      {
        memoryManagerPolicy: 'Static',
        kubeReserved: { memory: '400Mi' },
        systemReserved: { memory: '500Mi' },
        evictionHard: { 'memory.available': '124Mi' },
        reservedMemory: [{ numaNode, limits }],
      },
      true,
    );
  const nodes = [node(0, 10)];
  assert.equal(
    reservedMemory(stated({ memory: '1Gi' }), nodes, 10 * Gi)
      .get(0)
      ?.get('memory'),
    Gi,
  );
  assert.throws(() => reservedMemory(stated({ memory: '2Gi' }), nodes, 10 * Gi), /is not equal to the value/);
  assert.throws(() => reservedMemory(stated({ memory: '1Gi' }, 3), nodes, 10 * Gi), /no NUMA node 3/);
  const off = withDefaults({}, true);
  assert.equal(reservedMemory(off, nodes, 10 * Gi).size, 0);
});
