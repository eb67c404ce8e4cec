/** Who must go for a critical pod, and how. The rows follow the original's rule: fewest pods, lowest class, closest fit. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Pod } from '#contracts/kubernetes/types.ts';
import { silentLogger } from '#foundation/base/log.ts';
import { makeRoom } from './make-room.ts';
import { chooseVictims, type Shortage } from './victims.ts';

const Mi = 2 ** 20;
type Amounts = Record<string, string>;

function podOf(name: string, requests: Amounts, limits: Amounts = {}, spec: Partial<Pod['spec']> = {}): Pod {
  return {
    metadata: { name, uid: name, namespace: 'default' },
    spec: { containers: [{ name: 'c', image: 'i', resources: { requests, limits } }], ...spec },
  };
}

const fromFile = (pod: Pod): Pod => ({
  ...pod,
  metadata: { ...pod.metadata, annotations: { 'kubernetes.io/config.source': 'file' } },
});
const critical = fromFile(podOf('critical', { cpu: '1' }));
const poor = podOf('poor', {});
const small = podOf('small', { cpu: '200m', memory: '100Mi' });
const medium = podOf('medium', { cpu: '500m', memory: '200Mi' });
const large = podOf('large', { cpu: '900m', memory: '400Mi' });
const rich = podOf('rich', { cpu: '1', memory: '1Gi' }, { cpu: '1', memory: '1Gi' });
const cpu = (amount: number): Shortage => ({ resource: 'cpu', amount });
const memory = (amount: number): Shortage => ({ resource: 'memory', amount });

const rows: [name: string, others: Pod[], shortages: Shortage[], victims: string[]][] = [
  ['nothing is missing', [poor, small], [], []],
  ['the one that is just enough', [small, medium, large], [cpu(400)], ['medium']],
  ['of two that are enough the smaller', [large, medium], [cpu(100)], ['medium']],
  ['fewest pods', [small, medium, large], [cpu(900)], ['large']],
  ['several where one is not enough', [small, medium, large], [cpu(1100)], ['large', 'small']],
  ['burstable before guaranteed', [rich, large], [cpu(900)], ['large']],
  ['guaranteed where others are not enough', [rich, small], [cpu(1000)], ['rich']],
  ['what fits two shortages at once', [medium, rich, large], [cpu(900), memory(400 * Mi)], ['large']],
  ['best effort for a place', [rich, large, poor], [{ resource: 'pods', amount: 1 }], ['poor']],
];
for (const [name, others, shortages, victims] of rows)
  test(`who goes: ${name}`, () => {
    const chosen = chooseVictims(critical, others, shortages);
    assert.deepEqual(
      chosen.map(({ metadata }) => metadata.name),
      victims,
    );
  });

test('critical pods stay, and the message says how much is missing without them', () => {
  const others = [fromFile(large), podOf('high', { cpu: '1' }, {}, { priority: 2_000_000_000 }), small];
  assert.throws(
    () => chooseVictims(critical, others, [cpu(1000), memory(50 * Mi)]),
    /^\w*Error: preemption: error finding a set of pods to preempt: no set of running pods found to reclaim resources: \[\(res: cpu, q: 800\), \]$/,
  );
});

test('of two critical pods the one with the lower priority goes', () => {
  const node = podOf('node', { cpu: '1' }, {}, { priority: 2_000_001_000 });
  const cluster = podOf('cluster', { cpu: '1' }, {}, { priority: 2_000_000_000 });
  assert.deepEqual(chooseVictims(node, [cluster], [cpu(500)]), [cluster]);
  assert.throws(() => chooseVictims(cluster, [node], [cpu(500)]), /no set of running pods/);
});

test('victims fail with the reason and the condition, one after another; one that will not end stops nobody', async () => {
  const seen: string[] = [];
  const room = makeRoom(
    {
      control: {
        async killPod(pod, how) {
          seen.push(
            `kill ${pod.metadata.name} ${how.reason} ${how.condition?.type} ${how.gracePeriodSeconds}`,
          );
          if (pod.metadata.name === 'large') throw new Error('it does not end');
        },
      },
      events: {
        pod: (pod, type, reason, message) => seen.push(`${pod.metadata.name} ${type} ${reason}: ${message}`),
        node: () => {},
      },
      log: silentLogger,
      count: (resource) => seen.push(`count ${resource}`),
    },
    critical,
    [small, large],
    [cpu(1000)],
  );
  await room;
  assert.deepEqual(seen, [
    'large Warning Preempting: Preempted in order to admit critical pod',
    'kill large Preempting DisruptionTarget undefined',
    'small Warning Preempting: Preempted in order to admit critical pod',
    'kill small Preempting DisruptionTarget undefined',
    'count cpu',
  ]);
});
