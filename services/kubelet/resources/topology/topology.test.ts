import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { afterEach, test } from 'node:test';
import type { Pod } from '#contracts/kubernetes/types.ts';
import { SkiffError } from '#foundation/base/errors.ts';
import { type Hints, mergeHints, type TopologyHint } from './hints.ts';
import { createTopologyManager, type Giver, type TopologyDeps } from './manager.ts';
import { maskOf, nodesOf } from './mask.ts';
import { type NumaNode, readNumaNodes } from './numa.ts';
import { decide, type TopologyPolicy } from './policy.ts';
import { spreadHints } from './spread.ts';

const roots: string[] = [];
afterEach(() => {
  for (const root of roots.splice(0)) rmSync(root, { recursive: true });
});

const nodesUpTo = (count: number, distances: number[][] = []): NumaNode[] =>
  Array.from({ length: count }, (_, id) => ({
    id,
    cpus: [],
    memory: 0,
    hugePages: new Map(),
    distances: distances[id] ?? [],
  }));

/** `01+` prefers nodes 0 and 1, `0-` could be given on node 0, `+` does not care. */
const hint = (text: string): TopologyHint => {
  const digits = text.slice(0, -1);
  return {
    affinity: digits === '' ? undefined : maskOf([...digits].map(Number)),
    preferred: text.endsWith('+'),
  };
};
const hintsOf = (lists: readonly (string | undefined)[]): Hints[] =>
  lists.map(
    (list, index) =>
      new Map([
        [
          `r${index}`,
          list
            ?.split(' ')
            .filter((word) => word !== '')
            .map(hint),
        ],
      ]),
  );

const rows: [TopologyPolicy, (string | undefined)[], string, boolean][] = [
  // Nobody cares: the whole machine, and that is fine.
  ['best-effort', [undefined], '01+', true],
  ['single-numa-node', [undefined], '+', true],
  ['restricted', ['0+ 1+ 01-', '1+ 01-'], '1+', true],
  ['single-numa-node', ['0+ 1+ 01-', '1+ 01-'], '1+', true],
  // One has only node 0, the other only node 1.
  ['best-effort', ['0+', '1+'], '01-', true],
  ['restricted', ['0+', '1+'], '01-', false],
  ['single-numa-node', ['0+', '1+'], '-', false],
  // Too much for one node: both are preferred then, which is not single.
  ['restricted', ['01+', '01+'], '01+', true],
  ['single-numa-node', ['01+', '01+'], '-', false],
  // Preferred would be one node, but nothing is free on any.
  ['restricted', ['01-', '0+ 1+'], '0-', false],
  ['best-effort', ['01-', '0+ 1+'], '0-', true],
  // Nowhere at all.
  ['restricted', ['', '0+'], '0-', false],
  ['best-effort', ['', '0+'], '0-', true],
  ['single-numa-node', [''], '-', false],
  ['none', ['0+', '1+'], '+', true],
];
for (const [policy, lists, wanted, admit] of rows)
  test(`${policy}: ${lists.map((list) => `[${list ?? 'any'}]`).join(' and ')}`, () => {
    const verdict = decide(policy, hintsOf(lists), nodesUpTo(2), { preferClosest: false });
    assert.deepEqual(verdict, { hint: hint(wanted), admit });
  });

test('a result that is not preferred has as many nodes as the most demanding resource needs', () => {
  const lists = [
    [hint('01+'), hint('012-'), hint('0123-')],
    [hint('2-'), hint('02-'), hint('23-'), hint('0123-')],
  ];
  // Preferred for the first are two nodes: of the results [2, 02, 23, 0, ...] those of two come first.
  assert.deepEqual(mergeHints(lists, 0b1111), hint('01-'));
});

test('of sets of the same size the nearer nodes win, if that is wanted', () => {
  const near = [
    [10, 30, 30, 12],
    [30, 10, 12, 30],
    [30, 12, 10, 30],
    [12, 30, 30, 10],
  ];
  const lists = hintsOf(['01+ 03+ 12+']);
  assert.deepEqual(
    decide('restricted', lists, nodesUpTo(4, near), { preferClosest: false }).hint,
    hint('01+'),
  );
  assert.deepEqual(
    decide('restricted', lists, nodesUpTo(4, near), { preferClosest: true }).hint,
    hint('12+'),
  );
});

test('many resources on many nodes are merged in time', () => {
  const all = maskOf([0, 1, 2, 3, 4, 5, 6, 7]);
  const list = Array.from({ length: 255 }, (_, index) => ({
    affinity: index + 1,
    preferred: index % 7 === 0,
  }));
  const merged = mergeHints(
    Array.from({ length: 6 }, () => list),
    all,
  );
  assert.deepEqual(merged, { affinity: 1, preferred: true });
});

test('things without a place count for nothing; what is held must be in every set', () => {
  const at = (...nodes: number[]) => ({ nodes });
  const all = [at(0), at(0), at(1), at()];
  assert.deepEqual(spreadHints([0, 1], all, [at(0), at(1), at()], [], 2), [hint('01-')]);
  assert.deepEqual(spreadHints([0, 1], all, [at(0)], [at(1)], 1), [hint('1+'), hint('01-')]);
});

/** A giver of one resource, of which node N has `free[N]`. */
function giver(free: number[], calls: string[], name = 'r'): Giver {
  const want = (container: { name: string }) => Number(/\d+$/.exec(container.name)?.[0] ?? 0);
  const hints = (count: number): Hints => {
    const things = free.flatMap((each, node) => Array.from({ length: each }, () => ({ nodes: [node] })));
    return new Map([
      [
        name,
        spreadHints(
          free.map((_, node) => node),
          things,
          things,
          [],
          count,
        ),
      ],
    ]);
  };
  return {
    hints: (_pod, container) => hints(want(container)),
    podHints: (pod) => hints(pod.spec.containers.reduce((sum, each) => sum + want(each), 0)),
    allocate(_pod, container, affinity) {
      calls.push(`${container.name}@${affinity === undefined ? 'any' : nodesOf(affinity).join('+')}`);
      for (let left = want(container); left > 0; left -= 1) {
        const node = free.findIndex(
          (each, id) => each > 0 && (affinity === undefined || (affinity >> id) & 1),
        );
        if (node < 0) throw new SkiffError('RESOURCE_EXHAUSTED', 'no more');
        free[node] = (free[node] ?? 0) - 1;
      }
    },
    retain: (uids) => void calls.push(`retain ${[...uids]}`),
  };
}

const podOf = (...names: string[]): Pod => ({
  metadata: { name: 'p', uid: 'p' },
  spec: { containers: names.map((name) => ({ name, image: 'i' })) },
});

const manager = (givers: Giver[], more: Partial<TopologyDeps> = {}) =>
  createTopologyManager({
    policy: 'restricted',
    scope: 'container',
    nodes: nodesUpTo(2),
    preferClosest: false,
    givers,
    ...more,
  });

test('by container each goes where there is room; by pod all go together or not at all', async () => {
  const calls: string[] = [];
  assert.deepEqual(await manager([giver([2, 2], calls)]).admit(podOf('a2', 'b2')), { admit: true });
  assert.deepEqual(calls.splice(0), ['a2@0', 'b2@1']);
  const pod = { scope: 'pod' as const };
  assert.deepEqual(await manager([giver([1, 2], calls)], pod).admit(podOf('a1', 'b1')), { admit: true });
  assert.deepEqual(calls.splice(0), ['a1@1', 'b1@1']);
  const single = { scope: 'pod' as const, policy: 'single-numa-node' as const };
  const verdict = await manager([giver([2, 2], calls)], single).admit(podOf('a2', 'b2'));
  assert.deepEqual(verdict, {
    admit: false,
    reason: 'TopologyAffinityError',
    message: 'Resources cannot be allocated with Topology locality',
  });
  assert.deepEqual(calls, []);
});

test('two resources must meet on one node', async () => {
  const calls: string[] = [];
  const single = { policy: 'single-numa-node' as const };
  const both = (a: number[], b: number[]) => manager([giver(a, calls, 'a'), giver(b, calls, 'b')], single);
  assert.deepEqual(await both([2, 1], [0, 2]).admit(podOf('x1')), { admit: true });
  assert.deepEqual(calls.splice(0), ['x1@1', 'x1@1']);
  const apart = await both([1, 0], [0, 1]).admit(podOf('x1'));
  assert.equal(apart.admit === false && apart.reason, 'TopologyAffinityError');
});

test('what cannot be given after all, and what is refused, keep the pod out', async () => {
  const calls: string[] = [];
  const short = await manager([giver([1], calls)], { policy: 'none' }).admit(podOf('x2'));
  assert.deepEqual(short, {
    admit: false,
    reason: 'UnexpectedAdmissionError',
    message: 'Allocate failed due to no more, which is unexpected',
  });
  const refusing = { ...giver([9], calls), refuses: () => ({ reason: 'SMTAlignmentError', message: 'odd' }) };
  const verdict = await manager([refusing]).admit(podOf('x1'));
  assert.deepEqual(verdict, { admit: false, reason: 'SMTAlignmentError', message: 'odd' });
});

test('pods with resources of their own are not aligned', async () => {
  const calls: string[] = [];
  const pod = podOf('x1');
  pod.spec.resources = { limits: { cpu: '1', memory: '1Gi' } };
  assert.deepEqual(await manager([giver([1, 1], calls)]).admit(pod), { admit: true });
  assert.deepEqual(calls, ['x1@any']);
});

test('nodes are read from sysfs', () => {
  const root = mkdtempSync('/tmp/skiff-numa-');
  roots.push(root);
  mkdirSync(`${root}/node1/hugepages/hugepages-2048kB`, { recursive: true });
  mkdirSync(`${root}/node0`);
  writeFileSync(`${root}/node1/cpulist`, '2-3\n');
  writeFileSync(`${root}/node1/distance`, '21 10\n');
  writeFileSync(`${root}/node1/meminfo`, 'Node 1 MemTotal:       1024 kB\nNode 1 MemFree: 1 kB\n');
  writeFileSync(`${root}/node1/hugepages/hugepages-2048kB/nr_hugepages`, '3\n');
  const [zero, one] = readNumaNodes(root);
  assert.equal(zero?.id, 0);
  assert.deepEqual(one, {
    id: 1,
    cpus: [2, 3],
    memory: 1024 * 1024,
    hugePages: new Map([['2Mi', 6 * 1024 * 1024]]),
    distances: [21, 10],
  });
  assert.deepEqual(readNumaNodes(`${root}/none`), []);
});
