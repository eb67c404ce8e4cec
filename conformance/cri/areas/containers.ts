/** The life of a container: create, start, stop, remove, list, status. */
import assert from 'node:assert/strict';
import { ContainerState, NamespaceMode } from '#contracts/cri/runtime_pb.ts';
import { fails } from '../expect.ts';
import { area } from '../rule.ts';

const nothing = '0'.repeat(64);

export const containers = area('containers', (rule) => {
  rule('a container is CREATED, RUNNING, EXITED, with times that fit', async (t) => {
    const pod = await t.pod();
    const containerId = await t.create(pod, { command: ['sh', '-c', 'sleep 0.3'] });
    assert.match(containerId, /^[0-9a-f]{64}$/);
    const created = await t.status(containerId);
    assert.equal(created.state, ContainerState.CONTAINER_CREATED);
    assert.ok(created.createdAt > 0n);
    assert.equal(created.startedAt, 0n);
    assert.equal(created.finishedAt, 0n);
    await t.cri.runtime.startContainer({ containerId });
    const running = await t.status(containerId);
    assert.equal(running.state, ContainerState.CONTAINER_RUNNING);
    assert.ok(running.startedAt >= created.createdAt);
    assert.equal(running.finishedAt, 0n);
    const ended = await t.exited(containerId);
    assert.ok(ended.finishedAt >= ended.startedAt);
    assert.equal(ended.startedAt, running.startedAt);
    assert.equal(ended.exitCode, 0);
    assert.equal(ended.reason, 'Completed');
  });

  rule('an exit code other than 0 has the reason Error', async (t) => {
    const { status } = await t.runToEnd({ command: ['sh', '-c', 'exit 42'] });
    assert.equal(status.exitCode, 42);
    assert.equal(status.reason, 'Error');
  });

  rule('death by a signal is 128 and its number', async (t) => {
    // The first process of a PID namespace ignores its own signals: here the pod's is shared.
    const shared = { linux: { securityContext: { namespaceOptions: { pid: NamespaceMode.POD } } } };
    for (const [signal, code] of [
      ['TERM', 143],
      ['KILL', 137],
    ] as const) {
      const { status } = await t.runToEnd({ ...shared, command: ['sh', '-c', `kill -${signal} $$`] }, shared);
      assert.equal(status.exitCode, code);
      assert.equal(status.reason, 'Error');
    }
  });

  rule('the status echoes metadata, labels, annotations, mounts and the log path', async (t) => {
    const pod = await t.pod();
    const labels = { l: '1' };
    const annotations = { 'a/b': 'c' };
    const mounts = [{ containerPath: '/mnt', hostPath: t.directory, readonly: true }];
    const id = await t.create(pod, {
      metadata: { name: 'echo', attempt: 3 },
      labels,
      annotations,
      mounts,
      logPath: 'x/0.log',
    });
    const status = await t.status(id);
    assert.equal(status.id, id);
    assert.equal(status.metadata?.name, 'echo');
    assert.equal(status.metadata?.attempt, 3);
    assert.deepEqual(status.labels, labels);
    assert.deepEqual(status.annotations, annotations);
    assert.equal(status.logPath, `${pod.config.logDirectory}/x/0.log`);
    const mount = status.mounts.find((each) => each.containerPath === '/mnt');
    assert.equal(mount?.hostPath, t.directory);
    assert.equal(mount?.readonly, true);
  });

  rule(
    'the status names the image as kubelet needs it: image, image_ref, and since 1.36 image_id',
    async (t) => {
      const pod = await t.pod();
      const id = await t.create(pod);
      const status = await t.status(id);
      assert.notEqual(status.image?.image ?? '', '');
      assert.notEqual(status.imageRef, '');
      const { containers: listed } = await t.cri.runtime.listContainers({ filter: { id } });
      assert.notEqual(listed[0]?.imageRef, '');
    },
  );

  rule('the status gives the id that PullImage answered as image_id', async (t) => {
    const id = await t.create(await t.pod());
    const { image } = await t.cri.images.imageStatus({ image: { image: t.images.base ?? '' } });
    assert.equal((await t.status(id)).imageId, image?.id);
  });

  rule("neither command nor args: the image's entrypoint and cmd", async (t) => {
    assert.equal((await t.runToEnd({ image: { image: t.images.entry ?? '' } })).log, 'entry cmd\n');
  });

  rule("args alone: the image's entrypoint with them", async (t) => {
    const { log } = await t.runToEnd({ image: { image: t.images.entry ?? '' }, args: ['own'] });
    assert.equal(log, 'entry own\n');
  });

  rule('command alone: nothing of the image', async (t) => {
    const { log } = await t.runToEnd({ image: { image: t.images.entry ?? '' }, command: ['echo', 'only'] });
    assert.equal(log, 'only\n');
  });

  rule('command and args: both, nothing of the image', async (t) => {
    const fields = { image: { image: t.images.entry ?? '' }, command: ['echo', 'a'], args: ['b', 'c d'] };
    assert.equal((await t.runToEnd(fields)).log, 'a b c d\n');
  });

  rule('an image that says nothing to run needs a command', async (t) => {
    const pod = await t.pod();
    await fails(t.start(pod, { image: { image: t.images.mute ?? '' } }));
    await t.start(pod, { image: { image: t.images.mute ?? '' }, command: ['sleep', '100'] });
  });

  rule("the environment is the image's, overridden by the request's", async (t) => {
    const envs = [
      { key: 'OVERRIDDEN', value: Buffer.from('by the request') },
      { key: 'OWN', value: Buffer.from('a=b c') },
    ];
    const { id } = await t.running({ envs });
    const script = 'echo "$FROM_IMAGE|$OVERRIDDEN|$OWN|$PATH"';
    assert.equal(await t.output(id, script), 'yes|by the request|a=b c|/usr/local/bin:/bin');
  });

  rule('a terminal brings TERM=xterm', async (t) => {
    const { id } = await t.running({ tty: true });
    assert.match(await t.output(id, "cat /proc/1/environ | tr '\\0' '\\n'"), /^TERM=xterm$/m);
  });

  rule("the working directory is the request's, else the image's", async (t) => {
    const pod = await t.pod();
    const byImage = await t.start(pod);
    assert.equal(await t.output(byImage, 'readlink /proc/1/cwd'), '/srv');
    const byRequest = await t.start(pod, { workingDir: '/tmp' });
    assert.equal(await t.output(byRequest, 'readlink /proc/1/cwd'), '/tmp');
    assert.equal(await t.output(byRequest, 'pwd'), '/tmp');
  });

  rule('a working directory that is missing is made', async (t) => {
    const { id } = await t.running({ workingDir: '/not/there/yet' });
    assert.equal(await t.output(id, 'pwd'), '/not/there/yet');
  });

  rule('ListContainers joins its filters with AND; no match is an empty list', async (t) => {
    const pod = await t.pod();
    const other = await t.running({ labels: { n: '9' } });
    const one = await t.create(pod, { labels: { n: '1' } });
    const two = await t.start(pod, { labels: { n: '2' } });
    const list = async (filter: object) =>
      (await t.cri.runtime.listContainers({ filter })).containers.map((each) => each.id).sort();
    assert.deepEqual(await list({ podSandboxId: pod.id }), [one, two].sort());
    assert.deepEqual(await list({ podSandboxId: pod.id.slice(0, 13) }), [one, two].sort());
    assert.deepEqual(await list({ podSandboxId: pod.id, labelSelector: { n: '1' } }), [one]);
    assert.deepEqual(await list({ podSandboxId: pod.id, labelSelector: { n: '9' } }), []);
    const state = { state: ContainerState.CONTAINER_RUNNING };
    assert.deepEqual(await list({ podSandboxId: pod.id, state }), [two]);
    assert.deepEqual(await list({ id: one.slice(0, 13) }), [one]);
    assert.deepEqual(await list({ id: nothing }), []);
    const all = (await t.cri.runtime.listContainers({})).containers.map((each) => each.id);
    for (const id of [one, two, other.id]) assert.ok(all.includes(id), 'no filter must list all');
  });

  rule('a unique prefix of an id finds the container', async (t) => {
    const { id } = await t.running();
    assert.equal((await t.status(id.slice(0, 13))).id, id);
    assert.equal(await t.output(id.slice(0, 13), 'echo yes'), 'yes');
  });

  rule('an unknown container: status and start are NOT_FOUND, stop and remove succeed', async ({ cri }) => {
    await fails(cri.runtime.containerStatus({ containerId: nothing }), 'NOT_FOUND');
    await fails(cri.runtime.startContainer({ containerId: nothing }), 'NOT_FOUND');
    await cri.runtime.stopContainer({ containerId: nothing });
    await cri.runtime.removeContainer({ containerId: nothing });
  });

  rule('a container cannot be created in an unknown sandbox or from an unknown image', async (t) => {
    const pod = await t.pod();
    await fails(t.create({ ...pod, id: nothing }));
    await fails(t.create(pod, { image: { image: `${t.registry.host}/never/pulled:1` } }));
  });

  rule('a program that is not there fails with its name, and the container does not run', async (t) => {
    const pod = await t.pod();
    const failed = await fails(t.start(pod, { command: ['/no/such/program'] }));
    assert.match(failed, /\/no\/such\/program/);
    const { containers: left } = await t.cri.runtime.listContainers({ filter: { podSandboxId: pod.id } });
    assert.ok(left.every((each) => each.state !== ContainerState.CONTAINER_RUNNING));
    for (const each of left.filter(({ state }) => state === ContainerState.CONTAINER_EXITED)) {
      assert.notEqual((await t.status(each.id)).exitCode, 0);
    }
  });

  rule('a container that runs can be removed', async (t) => {
    const { id: containerId } = await t.running();
    await t.cri.runtime.removeContainer({ containerId });
    await fails(t.cri.runtime.containerStatus({ containerId }), 'NOT_FOUND');
  });

  rule('a verbose status has info in JSON with the process id', async (t) => {
    const { id: containerId } = await t.running();
    const { info } = await t.cri.runtime.containerStatus({ containerId, verbose: true });
    const parsed = JSON.parse(info.info ?? '{}') as { pid?: number };
    assert.ok((parsed.pid ?? 0) > 0, `no pid in ${info.info?.slice(0, 200)}`);
  });
});
