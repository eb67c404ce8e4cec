/** The core over a real runtime (`TESTED_RUNTIME`): pods from a manifest directory, their life and their end. */
import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, unlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import type { Pod } from '#contracts/kubernetes/types.ts';
import {
  runtimeMissing as skip,
  startTestedRuntime,
  type TestedRuntime,
} from '../../test/peers/tested-runtime.ts';
import { startFakeApi } from './testing/api-server.ts';
import { type CoreNode, manifest, type NodeOptions, startCore, until } from './testing/core-node.ts';

let peer: TestedRuntime;
before(async () => {
  if (skip !== false) return;
  peer = await startTestedRuntime(71);
  box.image = peer.image;
});
after(async () => peer?.[Symbol.asyncDispose]());

const node = (options?: NodeOptions) => startCore(peer.cri, options);
const forever = ['sleep', '100000'];
const box = { image: '', imagePullPolicy: 'IfNotPresent' as const };

test('a static pod runs, is described in full, and goes with its manifest', { skip }, async () => {
  await using it = await node();
  const path = join(it.manifests, 'a.json');
  const start = performance.now();
  const spec = { terminationGracePeriodSeconds: 1, containers: [{ name: 'main', command: forever, ...box }] };
  writeFileSync(path, manifest('a', spec));
  await until('Running', () => it.pod('a')?.status?.phase === 'Running');
  const took = performance.now() - start;
  const pod = it.pod('a');
  const status = pod?.status?.containerStatuses?.[0];
  assert.equal(pod?.metadata.uid?.length, 32);
  assert.equal(pod?.metadata.annotations?.['kubernetes.io/config.source'], 'file');
  assert.match(status?.containerID ?? '', /^(containerd|skiff):\/\/./);
  assert.equal(status?.ready, true);
  assert.equal(pod?.status?.conditions?.find(({ type }) => type === 'Ready')?.status, 'True');
  assert.equal(pod?.status?.qosClass, 'BestEffort');
  assert.match(pod?.status?.podIP ?? '', /^10\./);
  const reasons = it.events.map(({ reason }) => reason);
  assert.deepEqual(reasons.filter((reason) => reason !== 'Pulling').slice(0, 3), [
    'Pulled',
    'Created',
    'Started',
  ]);
  assert.deepEqual(it.parts.active, [pod?.metadata.name]);
  console.log(`running after ${Math.round(took)} ms`);
  unlinkSync(path);
  await until('gone', () => it.pod('a') === undefined && it.core.services.view.runningPods().length === 0);
  await until('its class has nothing to share', () => it.parts.active.length === 0);
});

const write = (it: CoreNode, name: string, text: string) =>
  writeFileSync(join(it.manifests, `${name}.json`), text);
const sh = (script: string) => ['sh', '-c', script];

test('a container that fails restarts, waits longer each time, and says so', { skip }, async () => {
  await using it = await node();
  write(it, 'a', manifest('a', { containers: [{ name: 'main', command: sh('exit 3'), ...box }] }));
  const status = () => it.pod('a')?.status?.containerStatuses?.[0];
  await until('a back-off', () => status()?.state?.waiting?.reason === 'CrashLoopBackOff');
  assert.equal(it.pod('a')?.status?.phase, 'Running');
  assert.match(
    status()?.state?.waiting?.message ?? '',
    /^back-off \d+s restarting failed container=main pod=a-node1_default\(/,
  );
  assert.equal(status()?.lastState?.terminated?.exitCode, 3);
  await until('two restarts', () => (status()?.restartCount ?? 0) >= 2);
  assert.ok(it.events.some(({ reason }) => reason === 'BackOff'));
  assert.deepEqual(
    readdirSync(join(it.root, 'pods', readdirSync(join(it.root, 'pods'))[0] ?? '', 'main')).slice(0, 2),
    ['0.log', '1.log'],
  );
});

test('a pod that need not restart succeeds, or fails by its deadline', { skip }, async () => {
  await using it = await node();
  const never = { restartPolicy: 'Never', terminationGracePeriodSeconds: 1 };
  write(it, 'ok', manifest('ok', { ...never, containers: [{ name: 'main', command: sh('true'), ...box }] }));
  const late = {
    ...never,
    activeDeadlineSeconds: 1,
    containers: [{ name: 'main', command: forever, ...box }],
  };
  write(it, 'late', manifest('late', late));
  await until('success', () => it.pod('ok')?.status?.phase === 'Succeeded');
  await until('the deadline', () => it.pod('late')?.status?.reason === 'DeadlineExceeded');
  await until('its end', () => it.core.services.view.runningPods().length === 0);
  assert.equal(it.pod('late')?.status?.phase, 'Failed');
});

test('a changed manifest replaces the pod: the old one ends first', { skip }, async () => {
  await using it = await node();
  const spec = (value: string) => ({
    terminationGracePeriodSeconds: 1,
    containers: [{ name: 'main', command: forever, env: [{ name: 'X', value }], ...box }],
  });
  write(it, 'a', manifest('a', spec('1')));
  await until('Running', () => it.pod('a')?.status?.phase === 'Running');
  const first = it.pod('a')?.metadata.uid;
  write(it, 'a', manifest('a', spec('2')));
  await until(
    'the new pod',
    () => it.pod('a')?.metadata.uid !== first && it.pod('a')?.status?.phase === 'Running',
  );
  const live = it.core.services.view.runningPods().map(({ metadata }) => metadata.uid);
  assert.deepEqual(live, [it.pod('a')?.metadata.uid]);
});

test('the same manifest again while its pod ends: it begins anew when it has ended', { skip }, async () => {
  await using it = await node();
  const text = manifest('a', {
    terminationGracePeriodSeconds: 1,
    containers: [{ name: 'main', command: forever, ...box }],
  });
  write(it, 'a', text);
  await until('Running', () => it.pod('a')?.status?.phase === 'Running');
  const [first, uid] = [it.pod('a')?.status?.containerStatuses?.[0]?.containerID, it.pod('a')?.metadata.uid];
  unlinkSync(join(it.manifests, 'a.json'));
  await until('its removal is seen', () => it.pod('a') === undefined);
  write(it, 'a', text);
  await until('another container', () => {
    const status = it.pod('a')?.status?.containerStatuses?.[0];
    return status?.state?.running !== undefined && status.containerID !== first;
  });
  assert.equal(it.pod('a')?.metadata.uid, uid);
});

test('hooks: postStart before the next container, a failing one kills; preStop within the grace period', {
  skip,
}, async () => {
  await using it = await node();
  const hook = { exec: { command: ['true'] } };
  const main = { name: 'main', command: forever, lifecycle: { postStart: hook, preStop: hook }, ...box };
  const spec = { terminationGracePeriodSeconds: 1, containers: [main] };
  write(it, 'a', manifest('a', spec));
  await until('Running', () => it.pod('a')?.status?.phase === 'Running');
  it.parts.preStopMs = 60_000;
  unlinkSync(join(it.manifests, 'a.json'));
  await until('gone', () => it.pod('a') === undefined && it.core.services.view.runningPods().length === 0);
  assert.deepEqual(
    it.parts.calls.filter((call) => call.includes('main')),
    ['postStart main', 'preStop main'],
  );
  it.parts.failPostStart = true;
  write(it, 'b', manifest('b', spec));
  await until('the hook error', () => {
    const waiting = it.pod('b')?.status?.containerStatuses?.[0]?.state?.waiting?.reason;
    return waiting === 'PostStartHookError' || waiting === 'CrashLoopBackOff';
  });
  assert.ok(it.events.some(({ reason }) => reason === 'FailedPostStartHook'));
});

test('a rejected pod fails with its reason, and nothing of it runs', { skip }, async () => {
  await using it = await node();
  it.parts.verdict = { admit: false, reason: 'OutOfcpu', message: 'too little' };
  write(it, 'a', manifest('a', { containers: [{ name: 'main', command: forever, ...box }] }));
  await until('Failed', () => it.pod('a')?.status?.phase === 'Failed');
  assert.equal(it.pod('a')?.status?.reason, 'OutOfcpu');
  assert.equal(it.pod('a')?.status?.message, 'Pod was rejected: too little');
  await wait(2500);
  assert.equal(it.core.services.view.runningPods().length, 0);
});

test('an image that is missing, and a name that is none', { skip }, async () => {
  await using it = await node();
  const main = { name: 'main', command: forever };
  write(
    it,
    'a',
    manifest('a', { containers: [{ ...main, image: 'skiff.test/none:1', imagePullPolicy: 'Never' }] }),
  );
  write(it, 'b', manifest('b', { containers: [{ ...main, image: 'UPPER:x', imagePullPolicy: 'Never' }] }));
  write(it, 'c', manifest('c', { containers: [{ ...main, image: '127.0.0.1:1/x:1' }] }));
  const reason = (name: string) => it.pod(name)?.status?.containerStatuses?.[0]?.state?.waiting?.reason;
  await until('ErrImageNeverPull', () => reason('a') === 'ErrImageNeverPull');
  await until('InvalidImageName', () => reason('b') === 'InvalidImageName');
  await until('ImagePullBackOff', () => reason('c') === 'ImagePullBackOff', 20_000);
  assert.equal(it.pod('c')?.status?.phase, 'Pending');
});

test('the kubelet begins again: no container restarts, what is gone is ended', { skip }, async () => {
  const root = mkdtempSync('/tmp/skiff-core-');
  const main = { name: 'main', command: forever, ...box };
  const spec = { terminationGracePeriodSeconds: 1, containers: [main] };
  let before: string | undefined;
  {
    await using first = await node({ root, keep: true });
    write(first, 'a', manifest('a', spec));
    write(first, 'b', manifest('b', spec));
    await until('Running', () => ['a', 'b'].every((name) => first.pod(name)?.status?.phase === 'Running'));
    before = first.pod('a')?.status?.containerStatuses?.[0]?.containerID;
  }
  unlinkSync(join(root, 'manifests', 'b.json'));
  await using second = await node({ root });
  await until('adopted', () => second.pod('a')?.status?.phase === 'Running');
  await until('b is ended', () => second.core.services.view.runningPods().length === 1);
  const status = second.pod('a')?.status?.containerStatuses?.[0];
  assert.deepEqual([status?.containerID, status?.restartCount], [before, 0]);
  const { containers } = await peer.cri.runtime.listContainers({});
  assert.equal(containers.filter((each) => each.labels['io.kubernetes.pod.name'] === 'a-node1').length, 1);
});

test('a container killed behind the kubelet’s back is seen and restarted', { skip }, async () => {
  await using it = await node();
  write(it, 'a', manifest('a', { containers: [{ name: 'main', command: forever, ...box }] }));
  await until('Running', () => it.pod('a')?.status?.phase === 'Running');
  const id = it.pod('a')?.status?.containerStatuses?.[0]?.containerID?.split('://')[1] ?? '';
  await peer.cri.runtime.stopContainer({ containerId: id, timeout: 0n });
  await until('a restart', () => {
    const status = it.pod('a')?.status?.containerStatuses?.[0];
    return status?.restartCount === 1 && status.state?.running !== undefined;
  });
});

test('a sandbox killed behind the kubelet’s back is made anew', { skip }, async () => {
  await using it = await node();
  write(
    it,
    'a',
    manifest('a', {
      terminationGracePeriodSeconds: 1,
      containers: [{ name: 'main', command: forever, ...box }],
    }),
  );
  await until('Running', () => it.pod('a')?.status?.phase === 'Running');
  const pod = it.pod('a') as Pod;
  const sandbox = await it.core.services.view.sandboxId(pod);
  await peer.cri.runtime.stopPodSandbox({ podSandboxId: sandbox });
  await until('another sandbox', () => {
    const status = it.pod('a')?.status?.containerStatuses?.[0];
    // More than once if the container was seen to end before its sandbox was.
    return (status?.restartCount ?? 0) >= 1 && status?.state?.running !== undefined;
  });
  assert.notEqual(await it.core.services.view.sandboxId(pod), sandbox);
  assert.ok(it.events.some(({ reason }) => reason === 'SandboxChanged'));
});

test('RestartAllContainers: every container goes and begins anew, the sandbox stays, the counts go on', {
  skip,
}, async () => {
  await using it = await node();
  const rule = { action: 'RestartAllContainers', exitCodes: { operator: 'In', values: [9] } };
  const once = sh('sleep 0.3; exit 9');
  write(
    it,
    'a',
    manifest('a', {
      terminationGracePeriodSeconds: 1,
      containers: [
        { name: 'asking', command: once, restartPolicy: 'Never', restartPolicyRules: [rule], ...box },
        { name: 'other', command: forever, ...box },
      ],
    }),
  );
  await until('Running', () => it.pod('a')?.status?.phase === 'Running');
  const sandbox = await it.core.services.view.sandboxId(it.pod('a') as Pod);
  const counts = () => it.pod('a')?.status?.containerStatuses?.map(({ restartCount }) => restartCount) ?? [];
  await until('two restarts of both', () => counts().length === 2 && counts().every((count) => count >= 2));
  assert.equal(await it.core.services.view.sandboxId(it.pod('a') as Pod), sandbox);
});

test('sidecars end after the regular containers, in the reverse order', { skip }, async () => {
  await using it = await node();
  const trap = (name: string) => sh(`trap 'exit 0' TERM; echo ${name}; while :; do sleep 0.05; done`);
  const container = (name: string) => ({
    name,
    command: trap(name),
    image: peer.image,
    imagePullPolicy: 'IfNotPresent',
  });
  const sidecar = (name: string) => ({ ...container(name), restartPolicy: 'Always' });
  write(
    it,
    'a',
    manifest('a', {
      terminationGracePeriodSeconds: 8,
      initContainers: [sidecar('s1'), sidecar('s2')],
      containers: [container('main')],
    }),
  );
  await until('Running', () => it.pod('a')?.status?.phase === 'Running');
  unlinkSync(join(it.manifests, 'a.json'));
  await until('the end', () => it.core.services.view.runningPods().length === 0);
  const { containers } = await peer.cri.runtime.listContainers({});
  const ends = await Promise.all(
    containers
      .filter((each) => each.labels['io.kubernetes.pod.name'] === 'a-node1')
      .map(async ({ id, metadata }) => {
        const { status } = await peer.cri.runtime.containerStatus({ containerId: id });
        return [metadata?.name, status?.finishedAt ?? 0n] as const;
      }),
  );
  const order = ends.sort((a, b) => Number(a[1] - b[1])).map(([name]) => name);
  assert.deepEqual(order, ['main', 's2', 's1']);
});

test('with an API: pods come from it, statuses and mirrors go to it, deletion ends with the object', {
  skip,
}, async () => {
  await using api = await startFakeApi();
  api.put('/api/v1/nodes/node1', { metadata: { name: 'node1' } });
  await using it = await node({ api });
  const at = '/api/v1/namespaces/default/pods/web';
  const web: Pod = {
    metadata: { name: 'web', namespace: 'default' },
    spec: {
      nodeName: 'node1',
      terminationGracePeriodSeconds: 1,
      containers: [{ name: 'main', command: forever, ...box }],
    },
    status: { phase: 'Pending' },
  };
  api.put(at, web);
  await until('Running in the API', () => api.get<Pod>(at)?.status?.phase === 'Running');
  assert.equal(api.get<Pod>(at)?.status?.hostIP, '192.0.2.1');
  const quick = { terminationGracePeriodSeconds: 1 };
  write(it, 'own', manifest('own', { ...quick, containers: [{ name: 'main', command: forever, ...box }] }));
  const mirrorAt = '/api/v1/namespaces/default/pods/own-node1';
  await until('the mirror', () => api.get<Pod>(mirrorAt)?.status?.phase === 'Running');
  const mirror = api.get<Pod>(mirrorAt);
  assert.equal(mirror?.metadata.ownerReferences?.[0]?.name, 'node1');
  assert.equal(mirror?.metadata.annotations?.['kubernetes.io/config.mirror'], it.pod('own')?.metadata.uid);
  api.remove(mirrorAt);
  await until('the mirror again', () => api.get<Pod>(mirrorAt) !== undefined);
  const present = api.get<Pod>(at) as Pod;
  const metadata = {
    ...present.metadata,
    deletionTimestamp: '2026-01-01T00:00:00Z',
    deletionGracePeriodSeconds: 1,
  };
  api.put(at, { ...present, metadata } as Pod);
  await until('its end', () => api.get<Pod>(at) === undefined);
  unlinkSync(join(it.manifests, 'own.json'));
  await until('the mirror goes with its pod', () => api.get<Pod>(mirrorAt) === undefined);
});
