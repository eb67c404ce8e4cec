/** Many clients at once, on different things and on the same. */
import assert from 'node:assert/strict';
import { ContainerState } from '#contracts/cri/runtime_pb.ts';
import { area } from '../rule.ts';

const settle = (calls: Promise<unknown>[]) => Promise.allSettled(calls);

export const concurrency = area('concurrency', (rule) => {
  rule(
    'ten pods with a container each start at once',
    async (t) => {
      const all = await Promise.all(Array.from({ length: 10 }, () => t.running()));
      const outputs = await Promise.all(all.map(({ id }, index) => t.output(id, `echo ${index}`)));
      assert.deepEqual(
        outputs,
        all.map((_, index) => String(index)),
      );
    },
    { alone: true },
  );

  rule('ten times the same RunPodSandbox at once make one sandbox', async (t) => {
    const config = t.podConfig({ labels: { group: t.unique('group') } });
    const calls = await settle(
      Array.from({ length: 10 }, () => t.cri.runtime.runPodSandbox({ config, runtimeHandler: t.handler })),
    );
    const { items } = await t.cri.runtime.listPodSandbox({ filter: { labelSelector: config.labels } });
    for (const { id } of items) t.defer(() => t.cri.runtime.removePodSandbox({ podSandboxId: id }));
    assert.equal(items.length, 1);
    assert.ok(calls.some((each) => each.status === 'fulfilled'));
  });

  rule('ten times the same CreateContainer at once make one container', async (t) => {
    const pod = await t.pod();
    const fields = { metadata: { name: 'same', attempt: 0 } };
    const calls = await settle(Array.from({ length: 10 }, () => t.create(pod, fields)));
    const { containers } = await t.cri.runtime.listContainers({ filter: { podSandboxId: pod.id } });
    assert.equal(containers.length, 1);
    assert.ok(calls.some((each) => each.status === 'fulfilled'));
  });

  rule('ten times StartContainer at once start it once', async (t) => {
    const pod = await t.pod();
    const containerId = await t.create(pod, { command: ['sh', '-c', 'echo started; sleep 100'] });
    const calls = await settle(
      Array.from({ length: 10 }, () => t.cri.runtime.startContainer({ containerId })),
    );
    assert.equal(calls.filter((each) => each.status === 'fulfilled').length, 1);
    assert.equal((await t.status(containerId)).state, ContainerState.CONTAINER_RUNNING);
  });

  rule(
    'StopContainer races RemoveContainer and RemovePodSandbox: all end, and nothing is left',
    async (t) => {
      for (let round = 0; round < 3; round += 1) {
        const { pod, id: containerId } = await t.running({
          command: ['sh', '-c', "trap '' TERM; while :; do sleep 1; done"],
        });
        const { runtime } = t.cri;
        await settle([
          runtime.stopContainer({ containerId, timeout: 10n }),
          runtime.removeContainer({ containerId }),
          runtime.stopPodSandbox({ podSandboxId: pod.id }),
          runtime.removePodSandbox({ podSandboxId: pod.id }),
          runtime.containerStatus({ containerId }),
        ]);
        await runtime.removePodSandbox({ podSandboxId: pod.id });
        const { items } = await runtime.listPodSandbox({ filter: { id: pod.id } });
        const { containers } = await runtime.listContainers({ filter: { id: containerId } });
        assert.deepEqual([items, containers], [[], []]);
      }
    },
  );

  rule('a second StopContainer with less time goes before the first', async (t) => {
    const { id: containerId } = await t.running({
      command: ['sh', '-c', "trap '' TERM; while :; do sleep 0.1; done"],
    });
    await t.output(containerId, 'sleep 0.3');
    const start = performance.now();
    const long = t.cri.runtime.stopContainer({ containerId, timeout: 40n }, { timeoutMs: 50_000 });
    await t.cri.runtime.stopContainer({ containerId, timeout: 0n });
    await long;
    assert.ok(performance.now() - start < 20_000, 'the first call waited out its time');
  });

  rule('a cancelled RunPodSandbox can be repeated, and leaves one sandbox', async (t) => {
    const config = t.podConfig({ labels: { group: t.unique('group') } });
    const filter = { labelSelector: config.labels };
    await settle([t.cri.runtime.runPodSandbox({ config, runtimeHandler: t.handler }, { timeoutMs: 5 })]);
    const id = await t.eventually('the retry', async () => {
      const { items } = await t.cri.runtime.listPodSandbox({ filter });
      if (items[0] !== undefined) return items[0].id;
      return (await t.cri.runtime.runPodSandbox({ config, runtimeHandler: t.handler })).podSandboxId;
    });
    t.defer(() => t.cri.runtime.removePodSandbox({ podSandboxId: id }));
    assert.equal((await t.cri.runtime.listPodSandbox({ filter })).items.length, 1);
  });

  rule(
    'twenty ExecSync in one container at once each get their own output',
    async (t) => {
      const { id } = await t.running();
      const outputs = await Promise.all(
        Array.from({ length: 20 }, (_, index) => t.output(id, `echo ${index}`)),
      );
      assert.deepEqual(
        outputs,
        Array.from({ length: 20 }, (_, index) => String(index)),
      );
    },
    { alone: true },
  );

  rule(
    '200 questions at once are answered while a pod is made and removed',
    async (t) => {
      const { pod, id } = await t.running();
      const questions = Array.from({ length: 50 }, () => [
        t.cri.runtime.listPodSandbox({}),
        t.cri.runtime.listContainers({}),
        t.cri.runtime.containerStatus({ containerId: id }),
        t.cri.runtime.podSandboxStatus({ podSandboxId: pod.id }),
      ]).flat();
      const [answers] = await Promise.all([settle(questions), t.running()]);
      assert.ok(answers.every((each) => each.status === 'fulfilled'));
    },
    { alone: true },
  );
});
