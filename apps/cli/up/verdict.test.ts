import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Pod } from '#contracts/kubernetes/types.ts';
import { podRow, statusWord } from '../output/pod-table.ts';
import { publishedAddresses } from './urls.ts';
import { judgePod } from './verdict.ts';

const pod = (status: object, spec: object = { containers: [{ name: 'a' }] }) =>
  ({ metadata: { name: 'p', namespace: 'default' }, spec, status }) as unknown as Pod;

test('what somebody who waits for a pod concludes', () => {
  const waiting = (reason: string, message?: string) =>
    pod({ phase: 'Pending', containerStatuses: [{ name: 'a', state: { waiting: { reason, message } } }] });
  assert.deepEqual(judgePod(pod({ phase: 'Pending' })), { kind: 'pending' });
  assert.deepEqual(judgePod(waiting('ContainerCreating')), { kind: 'pending' });
  assert.deepEqual(judgePod(waiting('ImagePullBackOff', 'no such image')), {
    kind: 'stuck',
    reason: 'container "a": ImagePullBackOff: no such image',
  });
  assert.equal(
    judgePod(pod({ phase: 'Running', conditions: [{ type: 'Ready', status: 'True' }] })).kind,
    'ready',
  );
  assert.equal(judgePod(pod({ phase: 'Succeeded' })).kind, 'succeeded');
  const ended = { name: 'a', state: { terminated: { exitCode: 3, reason: 'Error', message: 'boom' } } };
  assert.deepEqual(judgePod(pod({ phase: 'Failed', containerStatuses: [ended] })), {
    kind: 'failed',
    reason: 'container "a" ended with exit code 3 (Error): boom',
    exitCode: 3,
  });
});

test("kubectl's words for a pod's status", () => {
  const spec = {
    initContainers: [{ name: 'i' }, { name: 's', restartPolicy: 'Always' }],
    containers: [{ name: 'a' }],
  };
  const init = (states: object[]) =>
    pod({ phase: 'Pending', initContainerStatuses: states, containerStatuses: [] }, spec);
  assert.equal(statusWord(init([{ name: 'i', state: { running: {} } }])), 'Init:0/2');
  assert.equal(
    statusWord(
      init([
        { name: 'i', state: { terminated: { exitCode: 0 } } },
        { name: 's', started: false },
      ]),
    ),
    'Init:1/2',
  );
  assert.equal(
    statusWord(init([{ name: 'i', state: { waiting: { reason: 'CrashLoopBackOff' } } }])),
    'Init:CrashLoopBackOff',
  );
  const row = podRow(
    pod({
      phase: 'Running',
      podIP: '10.0.0.2',
      containerStatuses: [{ name: 'a', ready: true, restartCount: 2, state: { running: {} } }],
    }),
  );
  assert.deepEqual(
    { ...row, age: 0 },
    { name: 'p', ready: '1/1', isReady: true, status: 'Running', restarts: 2, ip: '10.0.0.2', age: 0 },
  );
});

test('published ports become addresses a person can open', () => {
  const ports = [
    { containerPort: 8080, hostPort: 80 },
    { containerPort: 5432, hostPort: 5432 },
    { containerPort: 443, hostPort: 8443, hostIP: '::1' },
    { containerPort: 53, hostPort: 53, protocol: 'UDP' },
    { containerPort: 81 },
  ];
  assert.deepEqual(publishedAddresses(pod({}, { containers: [{ name: 'a', ports }] })), [
    'http://localhost:80/',
    'localhost:5432',
    'https://[::1]:8443/',
  ]);
});
