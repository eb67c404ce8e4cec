import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Node, Pod } from '#contracts/kubernetes/types.ts';
import { unfit } from './fit.ts';

const node = (...pressures: string[]) =>
  ({
    metadata: { name: 'n1', labels: {} },
    status: {
      allocatable: { cpu: '4', memory: '8Gi', pods: '110' },
      conditions: [{ type: 'Ready', status: 'True' }, ...pressures.map((type) => ({ type, status: 'True' }))],
    },
  }) as unknown as Node;

const pod = (spec: object = {}, qosClass = 'BestEffort') =>
  ({
    metadata: { name: 'p', namespace: 'default' },
    spec: { containers: [{ name: 'c', image: 'x' }], ...spec },
    status: { qosClass },
  }) as unknown as Pod;

test('a node that runs short takes no new pods but those that tolerate it', () => {
  assert.deepEqual(unfit(pod(), node(), []), []);
  const taint = (key: string) => [`node(s) had untolerated taint {node.kubernetes.io/${key}: }`];
  assert.deepEqual(unfit(pod(), node('DiskPressure'), []), taint('disk-pressure'));
  assert.deepEqual(unfit(pod(), node('PIDPressure'), []), taint('pid-pressure'));
  assert.deepEqual(unfit(pod(), node('MemoryPressure'), []), taint('memory-pressure'));
  assert.deepEqual(unfit(pod({}, 'Burstable'), node('MemoryPressure'), []), []);
  const tolerations = [{ operator: 'Exists' }];
  assert.deepEqual(unfit(pod({ tolerations }), node('DiskPressure', 'PIDPressure'), []), []);
});
