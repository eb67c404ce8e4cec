/** When a pod gets another sandbox (kubelet-facts 3). */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { NamespaceMode } from '#contracts/cri/runtime_pb.ts';
import type { Pod } from '#contracts/kubernetes/types.ts';
import type { RuntimePodStatus } from './model.ts';
import { sandboxDecision } from './sandbox-decision.ts';

const { NODE, POD } = NamespaceMode;

const sandbox = (attempt: number, changes: object = {}) => ({
  id: `s${attempt}`,
  attempt,
  ready: true,
  ips: ['10.0.0.1'],
  network: POD,
  ...changes,
});

const rows: [string, object[], boolean, { create: boolean; id: string | undefined; attempt: number }][] = [
  ['none: the first', [], false, { create: true, id: undefined, attempt: 0 }],
  ['one that is ready: kept', [sandbox(2)], false, { create: false, id: 's2', attempt: 2 }],
  [
    'the newest not ready: the next',
    [sandbox(2, { ready: false })],
    false,
    { create: true, id: 's2', attempt: 3 },
  ],
  [
    'the newest ready, an older one not: kept',
    [sandbox(2), sandbox(1, { ready: false })],
    false,
    { create: false, id: 's2', attempt: 2 },
  ],
  ['two ready: the next', [sandbox(2), sandbox(1)], false, { create: true, id: 's2', attempt: 3 }],
  [
    'the newest not ready, an older one ready: the next',
    [sandbox(2, { ready: false }), sandbox(1)],
    false,
    { create: true, id: 's2', attempt: 3 },
  ],
  ['no address: the next', [sandbox(0, { ips: [] })], false, { create: true, id: 's0', attempt: 1 }],
  [
    'no address, with the host network: kept',
    [sandbox(0, { ips: [], network: NODE })],
    true,
    { create: false, id: 's0', attempt: 0 },
  ],
  ['another network mode: the next', [sandbox(0)], true, { create: true, id: 's0', attempt: 1 }],
  [
    'the other way round: the next',
    [sandbox(0, { network: NODE })],
    false,
    { create: true, id: 's0', attempt: 1 },
  ],
  [
    'a runtime that does not tell the mode: kept',
    [sandbox(0, { network: undefined })],
    true,
    { create: false, id: 's0', attempt: 0 },
  ],
];

for (const [rule, sandboxes, hostNetwork, wanted] of rows) {
  test(`sandbox: ${rule}`, () => {
    const pod = { metadata: { name: 'p' }, spec: { hostNetwork, containers: [] } } as Pod;
    assert.deepEqual(sandboxDecision(pod, { sandboxes } as unknown as RuntimePodStatus), wanted);
  });
}
