import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Pod, PodStatus } from '#contracts/kubernetes/types.ts';
import { SkiffError } from '#foundation/base/errors.ts';
import { silentLogger as logger } from '#foundation/base/log.ts';
import { type Clock, systemClock } from '#foundation/base/time.ts';
import { createPodManager } from '../pods/pod-manager.ts';
import { createStatusManager } from './manager.ts';
import { startStatusWriter } from './writer.ts';

function pod(name: string): Pod {
  return {
    metadata: { name, namespace: 'd', uid: name, resourceVersion: '1' },
    spec: { containers: [{ name: 'c', image: 'i' }] },
    status: { phase: 'Pending' },
  } as Pod;
}

/** A writer whose periods pass when told, over an API that answers what it is given. */
async function writing(
  answer: (name: string, status: PodStatus) => Promise<void>,
  work: (place: {
    patches: string[];
    set(name: string, phase: string): void;
    period(): Promise<void>;
    settled(): Promise<void>;
  }) => Promise<void>,
): Promise<void> {
  const patches: string[] = [];
  let pass = () => {};
  const clock: Clock = {
    ...systemClock,
    sleep: (_, signal) =>
      new Promise((resolve, reject) => {
        pass = () => resolve();
        signal?.addEventListener('abort', () => reject(new Error('aborted')), { once: true });
      }),
  };
  const statuses = createStatusManager(clock);
  const pods = createPodManager();
  const api = {
    async patchPodStatus(target: Pod, status: PodStatus): Promise<Pod> {
      const { name } = target.metadata;
      patches.push(`${name} ${status.phase}`);
      await answer(name, status);
      const resourceVersion = String(Number(target.metadata.resourceVersion) + 1);
      return { ...target, metadata: { ...target.metadata, resourceVersion }, status };
    },
    deletePod: async () => {},
  };
  const stop = new AbortController();
  const workers = { get: () => undefined };
  const running = startStatusWriter({ api, statuses, workers, pods, clock, logger }, stop.signal);
  const settled = () => new Promise<void>((resolve) => setTimeout(resolve, 20));
  await work({
    patches,
    settled,
    set(name, phase) {
      const own = pods.get(name) ?? pod(name);
      pods.set(own);
      statuses.set(own, { phase });
    },
    async period() {
      pass();
      await settled();
    },
  });
  stop.abort();
  await running;
}

test('a change is one call, and what the API has is not written again each period', async () => {
  await writing(
    async () => {},
    async ({ patches, set, period, settled }) => {
      set('a', 'Running');
      await settled();
      assert.deepEqual(patches, ['a Running']);
      for (let index = 0; index < 3; index += 1) await period();
      assert.deepEqual(patches, ['a Running'], 'the watch has not told of it yet, the answer has');
      set('a', 'Succeeded');
      await settled();
      assert.deepEqual(patches.slice(1), ['a Succeeded']);
    },
  );
});

test('changes of one moment are one write, and a write that hangs keeps no other pod waiting', async () => {
  const hanging = Promise.withResolvers<void>();
  await writing(
    (name) => (name === 'stuck' ? hanging.promise : Promise.resolve()),
    async ({ patches, set, settled }) => {
      set('stuck', 'Unknown');
      set('stuck', 'Running');
      await settled();
      set('b', 'Running');
      await settled();
      assert.deepEqual(patches, ['stuck Running', 'b Running']);
      set('stuck', 'Failed');
      await settled();
      assert.equal(patches.length, 2, 'a pod has one write under way');
      hanging.resolve();
      await settled();
      assert.deepEqual(patches.slice(2), ['stuck Failed']);
    },
  );
});

test('what could not be written is written with the next period', async () => {
  let away = true;
  await writing(
    async () => {
      if (away) throw new SkiffError('UNAVAILABLE', 'away');
    },
    async ({ patches, set, period, settled }) => {
      set('a', 'Running');
      await settled();
      away = false;
      await period();
      await period();
      assert.deepEqual(patches, ['a Running', 'a Running']);
    },
  );
});
