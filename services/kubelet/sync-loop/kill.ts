/** Ends pods from inside the kubelet: eviction, node shutdown, preemption. */
import { SkiffError } from '#foundation/base/errors.ts';
import { gracePeriodOf, title, uidOf } from '../pods/identity.ts';
import type { PodControl } from '../ports.ts';
import type { LoopDeps } from './deps.ts';

/** Milliseconds: how long a killer waits at least. */
const minimumWaitMs = 10_000;

export function createPodControl(deps: Pick<LoopDeps, 'workers' | 'clock'>): PodControl {
  return {
    async killPod(pod, how) {
      deps.workers.update({ kind: 'kill', pod, kill: how });
      const grace = how.gracePeriodSeconds ?? gracePeriodOf(pod);
      const limit = Math.max(minimumWaitMs, grace * 1500);
      const over = new AbortController();
      const late = deps.clock.sleep(limit, over.signal).then(() => {
        throw new SkiffError('DEADLINE_EXCEEDED', `Pod ${title(pod)} has not ended within ${limit} ms`);
      });
      late.catch(() => {});
      try {
        await Promise.race([deps.workers.stopped(uidOf(pod)), late]);
      } finally {
        over.abort();
      }
    },
  };
}
