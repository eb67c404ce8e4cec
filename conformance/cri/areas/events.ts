/** GetContainerEvents. */
import assert from 'node:assert/strict';
import {
  type ContainerEventResponse,
  ContainerState,
  ContainerEventType as Type,
} from '#contracts/cri/runtime_pb.ts';
import type { Context } from '../context.ts';
import { area } from '../rule.ts';

const { CONTAINER_CREATED_EVENT, CONTAINER_STARTED_EVENT, CONTAINER_STOPPED_EVENT, CONTAINER_DELETED_EVENT } =
  Type;

/** Listens for events until the check is over. */
async function listen(t: Context): Promise<ContainerEventResponse[]> {
  const seen: ContainerEventResponse[] = [];
  const stop = new AbortController();
  t.defer(() => stop.abort());
  const failed = Promise.withResolvers<never>();
  failed.promise.catch(() => {});
  void (async () => {
    try {
      for await (const event of t.cri.runtime.getContainerEvents({}, { signal: stop.signal }))
        seen.push(event);
    } catch (error) {
      failed.reject(error);
    }
  })();
  await Promise.race([failed.promise, new Promise((resolve) => setTimeout(resolve, 300))]);
  return seen;
}

export const events = area('events', (rule) => {
  rule(
    'a container is told CREATED, STARTED, STOPPED, DELETED, each with the status of its pod',
    async (t) => {
      const seen = await listen(t);
      const pod = await t.pod();
      const containerId = await t.start(pod, { command: ['sh', '-c', 'sleep 0.2; exit 3'] });
      await t.exited(containerId);
      await t.cri.runtime.removeContainer({ containerId });
      const expected = [
        CONTAINER_CREATED_EVENT,
        CONTAINER_STARTED_EVENT,
        CONTAINER_STOPPED_EVENT,
        CONTAINER_DELETED_EVENT,
      ];
      const own = () => seen.filter((each) => each.containerId === containerId);
      await t.eventually('four events', () => own().length >= 4 || undefined);
      assert.deepEqual(
        own().map((each) => each.containerEventType),
        expected,
      );
      for (const event of own()) {
        assert.equal(event.podSandboxStatus?.id, pod.id);
        assert.ok(event.createdAt > 0n);
      }
      const stopped = own()[2]?.containersStatuses.find((each) => each.id === containerId);
      assert.equal(stopped?.exitCode, 3);
    },
  );

  rule('a sandbox is told under its own id, and DELETED carries its status', async (t) => {
    const seen = await listen(t);
    const { id: podSandboxId } = await t.pod();
    await t.cri.runtime.stopPodSandbox({ podSandboxId });
    await t.cri.runtime.removePodSandbox({ podSandboxId });
    const own = () => seen.filter((each) => each.containerId === podSandboxId);
    await t.eventually(
      'DELETED',
      () => own().some((each) => each.containerEventType === CONTAINER_DELETED_EVENT) || undefined,
    );
    const types = own().map((each) => each.containerEventType);
    for (const type of [CONTAINER_CREATED_EVENT, CONTAINER_STARTED_EVENT, CONTAINER_STOPPED_EVENT]) {
      assert.ok(types.includes(type), `no event of type ${type}`);
    }
    for (const event of own()) assert.equal(event.podSandboxStatus?.id, podSandboxId);
  });

  rule('two listeners both see everything', async (t) => {
    const [one, two] = [await listen(t), await listen(t)];
    const { id } = await t.running();
    for (const seen of [one, two]) {
      await t.eventually(
        'the events',
        () => seen.filter((each) => each.containerId === id).length >= 2 || undefined,
      );
    }
  });

  rule('PodSandboxStatus with a time tells of the containers, too, as ContainerStatus does', async (t) => {
    const { pod, id } = await t.running();
    const { timestamp, containersStatuses } = await t.cri.runtime.podSandboxStatus({ podSandboxId: pod.id });
    if (timestamp === 0n) t.skip('the runtime sets no time');
    assert.ok(Math.abs(Number(timestamp / 1_000_000n) - Date.now()) < 60_000);
    assert.deepEqual(containersStatuses, [await t.status(id)]);
    await t.cri.runtime.stopContainer({ containerId: id, timeout: 0n });
    const later = await t.cri.runtime.podSandboxStatus({ podSandboxId: pod.id });
    assert.equal(later.containersStatuses[0]?.state, ContainerState.CONTAINER_EXITED);
    assert.ok(later.timestamp > timestamp);
  });
});
