import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EncodedMessage } from '#foundation/grpc/encoded.ts';
import { openFixture } from '../../../test/containers-fixture.ts';
import { createFeed } from './feed.ts';
import { createEvents } from './index.ts';

test('events carry the pod and its containers, with the real exit', async (t) => {
  const events = createEvents({
    sandbox: (id) => fixture.containers.core.sandboxes.find(id),
    containersOf: (id) =>
      fixture.containers.core.table.list().filter(({ record }) => record.sandboxId === id),
  });
  const fixture = await openFixture(t, { deps: { onEvent: events.containerEvent } });
  const stop = new AbortController();
  const stream = events.handlers.getContainerEvents?.({} as never, { signal: stop.signal, deadline: 0 });
  const seen: { type: unknown; pod: unknown; codes: unknown }[] = [];
  const reading = (async () => {
    for await (const event of stream ?? []) {
      assert.ok(!(event instanceof EncodedMessage));
      const { containerEventType, podSandboxStatus, containersStatuses = [] } = event;
      seen.push({
        type: containerEventType,
        pod: podSandboxStatus?.id,
        codes: containersStatuses.map((one) => one.exitCode),
      });
      if (containerEventType === 3) stop.abort();
    }
  })();
  const id = await fixture.run('exit 9');
  await fixture.ended(id);
  await fixture.containers.ofSandboxes.removeAll(fixture.sandbox.id, new AbortController().signal);
  await reading;
  const pod = fixture.sandbox.id;
  assert.deepEqual(seen, [
    { type: 0, pod, codes: [0] },
    { type: 1, pod, codes: [0] },
    { type: 2, pod, codes: [9] },
    { type: 3, pod, codes: [] },
  ]);
});

test('a reader that falls behind is told so; others are not held up', async () => {
  const feed = createFeed<number>(3);
  const stop = new AbortController();
  const slow = feed.subscribe(stop.signal);
  const first = slow.next();
  feed.publish(0);
  assert.equal((await first).value, 0);
  for (let i = 1; i < 9; i += 1) feed.publish(i);
  assert.deepEqual(
    [(await slow.next()).value, (await slow.next()).value, (await slow.next()).value],
    [1, 2, 3],
  );
  await assert.rejects(slow.next(), { code: 'RESOURCE_EXHAUSTED' });
  assert.equal(feed.subscribers, 0);
});
