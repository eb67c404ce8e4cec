/** `registryPullQPS` and `registryBurst`: a bucket of tokens, one for each pull. */
import type { Clock } from '#foundation/base/time.ts';

/** Says whether one more pull may begin now. */
export interface PullRate {
  take(): boolean;
}

/** Makes a full bucket. @param qps tokens that come back each second; 0 for no limit. */
export function createPullRate(qps: number, burst: number, clock: Pick<Clock, 'monotonic'>): PullRate {
  let tokens = burst;
  let at = clock.monotonic();
  return {
    take() {
      if (qps === 0) return true;
      const now = clock.monotonic();
      tokens = Math.min(burst, tokens + ((now - at) * qps) / 1000);
      at = now;
      if (tokens < 1) return false;
      tokens -= 1;
      return true;
    },
  };
}
