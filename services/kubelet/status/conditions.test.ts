/** The kubelet's own conditions: one line for each rule of kubelet-facts 4. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Pod, PodStatus } from '#contracts/kubernetes/types.ts';
import type { RuntimePodStatus } from '../runtime-manager/model.ts';
import { podOf, runtimeOf, sandbox } from '../testing/pods.ts';
import { condition, inits, type Options, sidecars, statusOf, two } from '../testing/statuses.ts';

const conditionRows: [string, Pod, RuntimePodStatus, Options, string, string][] = [
  ['all ready', podOf(two), runtimeOf(['a running', 'b running']), {}, 'Ready', 'True'],
  [
    'one not ready',
    podOf(two),
    runtimeOf(['a running', 'b running']),
    { workers: ['readiness b'] },
    'ContainersReady',
    'False ContainersNotReady containers with unready status: [b]',
  ],
  [
    'succeeded',
    podOf({ restartPolicy: 'Never' }),
    runtimeOf(['a exited 0']),
    {},
    'Ready',
    'False PodCompleted',
  ],
  ['failed', podOf({ restartPolicy: 'Never' }), runtimeOf(['a exited 1']), {}, 'Ready', 'False PodFailed'],
  [
    'a readiness gate nobody set',
    podOf({ readinessGates: [{ conditionType: 'x.io/ok' }] }),
    runtimeOf(['a running']),
    {},
    'Ready',
    'False ReadinessGatesNotReady corresponding condition of pod readiness gate "x.io/ok" does not exist.',
  ],
  [
    'a readiness gate that is shut',
    {
      ...podOf({ readinessGates: [{ conditionType: 'x.io/ok' }] }),
      status: { conditions: [{ type: 'x.io/ok', status: 'False' }] },
    },
    runtimeOf(['a running']),
    {},
    'Ready',
    'False ReadinessGatesNotReady the status of pod readiness gate "x.io/ok" is not "True", but False',
  ],
  [
    'a readiness gate that is open',
    {
      ...podOf({ readinessGates: [{ conditionType: 'x.io/ok' }] }),
      status: { conditions: [{ type: 'x.io/ok', status: 'True' }] },
    },
    runtimeOf(['a running']),
    {},
    'Ready',
    'True',
  ],
  [
    'init not done',
    podOf(inits),
    runtimeOf(['i running']),
    {},
    'Initialized',
    'False ContainersNotInitialized containers with incomplete status: [i]',
  ],
  ['init done', podOf(inits), runtimeOf(['i exited 0']), {}, 'Initialized', 'True'],
  ['a sidecar that started', podOf(sidecars), runtimeOf(['s running']), {}, 'Initialized', 'True'],
  [
    'a sidecar that is not ready',
    podOf(sidecars),
    runtimeOf(['a running', 's running']),
    { workers: ['readiness s'] },
    'ContainersReady',
    'False ContainersNotReady containers with unready status: [s]',
  ],
  ['a sandbox with an address', podOf(), runtimeOf([]), {}, 'PodReadyToStartContainers', 'True'],
  ['no sandbox', podOf(), runtimeOf([], []), {}, 'PodReadyToStartContainers', 'False'],
  [
    'a sandbox that ended',
    podOf(),
    runtimeOf([], [sandbox({ ready: false })]),
    {},
    'PodReadyToStartContainers',
    'False',
  ],
  ['scheduled, always', podOf(), runtimeOf([], []), {}, 'PodScheduled', 'True'],
];

for (const [rule, pod, has, options, type, expected] of conditionRows) {
  test(`condition ${type}: ${rule}`, () =>
    assert.equal(condition(statusOf(pod, has, options), type), expected));
}

test('the time of transition moves only with the status; conditions of others are kept', () => {
  const before: PodStatus = {
    phase: 'Running',
    conditions: [
      { type: 'Ready', status: 'True', lastTransitionTime: '2025-01-01T00:00:00Z' },
      { type: 'ContainersReady', status: 'False', lastTransitionTime: '2025-01-01T00:00:00Z' },
      { type: 'x.io/mine', status: 'Unknown' },
    ],
  };
  const { conditions = [] } = statusOf(podOf(), runtimeOf(['a running']), { before });
  const time = (type: string) => conditions.find((each) => each.type === type)?.lastTransitionTime;
  assert.equal(time('Ready'), '2025-01-01T00:00:00Z');
  assert.equal(time('ContainersReady'), '2026-01-01T00:00:00Z');
  assert.ok(conditions.some(({ type }) => type === 'x.io/mine'));
});
