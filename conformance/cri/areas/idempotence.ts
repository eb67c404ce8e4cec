/** What happens when a call is made twice: retries must neither fail needlessly nor make a second thing. */
import assert from 'node:assert/strict';
import { ContainerState } from '#contracts/cri/runtime_pb.ts';
import { fails } from '../expect.ts';
import { area } from '../rule.ts';

export const idempotence = area('idempotence', (rule) => {
  rule('the same RunPodSandbox twice makes one sandbox', async (t) => {
    const { id, config } = await t.pod({ labels: { group: t.unique('group') } });
    const again = await t.cri.runtime
      .runPodSandbox({ config, runtimeHandler: t.handler })
      .catch(() => undefined);
    if (again !== undefined) assert.equal(again.podSandboxId, id, 'the second call answered another sandbox');
    const { items } = await t.cri.runtime.listPodSandbox({ filter: { labelSelector: config.labels } });
    assert.deepEqual(
      items.map((each) => each.id),
      [id],
    );
  });

  rule('another attempt is another sandbox', async (t) => {
    const { id, config } = await t.pod();
    const second = await t.pod({ ...config, metadata: { ...(config.metadata as object), attempt: 1 } });
    assert.notEqual(second.id, id);
  });

  rule('a removed sandbox frees its name', async (t) => {
    const { id, config } = await t.pod();
    await t.cri.runtime.removePodSandbox({ podSandboxId: id });
    assert.notEqual((await t.pod(config)).id, id);
  });

  rule('the same CreateContainer twice makes one container', async (t) => {
    const pod = await t.pod();
    const fields = { metadata: { name: 'twice', attempt: 0 } };
    const id = await t.create(pod, fields);
    const again = await t.create(pod, fields).catch(() => undefined);
    if (again !== undefined) assert.equal(again, id);
    const { containers } = await t.cri.runtime.listContainers({ filter: { podSandboxId: pod.id } });
    assert.deepEqual(
      containers.map((each) => each.id),
      [id],
    );
  });

  rule('another attempt is another container', async (t) => {
    const pod = await t.pod();
    const first = await t.create(pod, { metadata: { name: 'c', attempt: 0 } });
    const second = await t.create(pod, { metadata: { name: 'c', attempt: 1 } });
    assert.notEqual(second, first);
  });

  rule('a removed container frees its name', async (t) => {
    const pod = await t.pod();
    const containerId = await t.create(pod, { metadata: { name: 'c', attempt: 0 } });
    await t.cri.runtime.removeContainer({ containerId });
    await t.create(pod, { metadata: { name: 'c', attempt: 0 } });
  });

  rule('a failed CreateContainer leaves nothing and frees its name', async (t) => {
    const pod = await t.pod();
    const metadata = { name: 'c', attempt: 0 };
    await fails(t.create(pod, { metadata, image: { image: 'no-such-image:never' } }));
    const { containers } = await t.cri.runtime.listContainers({ filter: { podSandboxId: pod.id } });
    assert.deepEqual(containers, []);
    await t.create(pod, { metadata });
  });

  rule('a container cannot be started twice, and goes on running', async (t) => {
    const { id } = await t.running();
    await fails(t.cri.runtime.startContainer({ containerId: id }));
    assert.equal((await t.status(id)).state, ContainerState.CONTAINER_RUNNING);
  });

  rule('an ended container cannot be started again', async (t) => {
    const pod = await t.pod();
    const id = await t.start(pod, { command: ['true'] });
    await t.exited(id);
    await fails(t.cri.runtime.startContainer({ containerId: id }));
  });

  rule('stopping a container twice, and stopping an ended one, succeeds', async (t) => {
    const { id: containerId } = await t.running();
    await t.cri.runtime.stopContainer({ containerId, timeout: 0n });
    const { finishedAt, exitCode } = await t.status(containerId);
    await t.cri.runtime.stopContainer({ containerId, timeout: 0n });
    const again = await t.status(containerId);
    assert.equal(again.finishedAt, finishedAt);
    assert.equal(again.exitCode, exitCode);
  });

  rule('removing a container twice succeeds', async (t) => {
    const pod = await t.pod();
    const containerId = await t.create(pod);
    await t.cri.runtime.removeContainer({ containerId });
    await t.cri.runtime.removeContainer({ containerId });
  });
});
