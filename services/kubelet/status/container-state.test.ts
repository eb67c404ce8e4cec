/** What a container's status says of the container itself, and which generation a status is of (kubelet-facts 4). */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Signal } from '#contracts/cri/runtime_pb.ts';
import type { Container } from '#contracts/kubernetes/types.ts';
import type { ContainerRecord } from '../runtime-manager/model.ts';
import { podOf, record, runtimeOf } from '../testing/pods.ts';
import { statusOf } from '../testing/statuses.ts';

const mount = (name: string, more: object = {}) => ({ name, mountPath: `/${name}`, ...more });
const asked = { requests: { cpu: '100m' }, limits: { cpu: '500m', memory: '64Mi' } };
const inForce = (quota: bigint, memory: bigint) =>
  ({ linux: { cpuQuota: quota, cpuPeriod: 100_000n, memoryLimitInBytes: memory } }) as never;

const rows: [rule: string, container: Partial<Container>, has: Partial<ContainerRecord>, wanted: object][] = [
  [
    'ids: the container’s with its runtime, the image’s as the runtime refers to it',
    {},
    { id: 'abc', image: 'img', imageRef: 'repo@sha256:2', imageId: 'sha256:3' },
    { containerID: 'skiff://abc', image: 'img', imageID: 'repo@sha256:2' },
  ],
  ['no resources asked for', {}, {}, { resources: undefined, allocatedResources: undefined }],
  [
    'allocated are the requests',
    { resources: asked },
    {},
    { resources: asked, allocatedResources: { cpu: '100m' } },
  ],
  [
    'limits in the manifest’s words while they are in force',
    { resources: { limits: { cpu: '0.5', memory: '65536Ki' } } },
    { resources: inForce(50_000n, 2n ** 26n) },
    { resources: { limits: { cpu: '0.5', memory: '65536Ki' } } },
  ],
  [
    'limits that are not those of the manifest yet',
    { resources: { limits: { cpu: '1', memory: '128Mi' } } },
    { resources: inForce(50_000n, 2n ** 26n) },
    { resources: { limits: { cpu: '500m', memory: '64Mi' } } },
  ],
  [
    'who it runs as',
    {},
    { user: { linux: { uid: 7n, gid: 8n, supplementalGroups: [8n, 9n] } } as never },
    { user: { linux: { uid: 7, gid: 8, supplementalGroups: [8, 9] } } },
  ],
  [
    'mounts, and whether what is read-only is so to the bottom',
    {
      volumeMounts: [
        mount('plain'),
        mount('ro', { readOnly: true, recursiveReadOnly: 'IfPossible' }),
        mount('deep', { readOnly: true, recursiveReadOnly: 'Enabled' }),
      ],
    },
    { mounts: [{ containerPath: '/deep', recursiveReadOnly: true }] as never },
    {
      volumeMounts: [
        mount('plain'),
        mount('ro', { readOnly: true, recursiveReadOnly: 'Disabled' }),
        mount('deep', { readOnly: true, recursiveReadOnly: 'Enabled' }),
      ],
    },
  ],
  ['the signal that ends it', {}, { stopSignal: Signal.SIGUSR1 }, { stopSignal: 'SIGUSR1' }],
];
for (const [rule, container, has, wanted] of rows)
  test(`a container’s status: ${rule}`, () => {
    const pod = podOf({ containers: [{ name: 'a', image: 'img', ...container }] });
    const status = statusOf(pod, runtimeOf([record('a running', has)])).containerStatuses?.[0];
    assert.ok(status !== undefined);
    const seen = Object.fromEntries(
      Object.keys(wanted).map((key) => [key, status[key as keyof typeof status]]),
    );
    assert.deepEqual(seen, wanted);
  });

for (const [generation, wanted] of [
  [3, 3],
  [undefined, undefined],
] as const)
  test(`generation ${generation} is observed by the status and its conditions`, () => {
    const status = statusOf(podOf({}, { generation }), runtimeOf(['a running']));
    assert.equal(status.observedGeneration, wanted);
    const own = status.conditions?.filter(({ type }) => type === 'Ready' || type === 'ContainersReady') ?? [];
    assert.deepEqual(
      own.map(({ observedGeneration }) => observedGeneration),
      [wanted, wanted],
    );
  });
