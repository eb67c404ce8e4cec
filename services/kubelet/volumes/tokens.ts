/** Service account tokens by TokenRequest, kept until 80% of their life has passed (at most a day). */
import { createHash } from 'node:crypto';
import type { Pod } from '#contracts/kubernetes/types.ts';
import type { Clock } from '#foundation/base/time.ts';
import type { KubeletApi } from '../ports.ts';
import type { TokenSource } from './projected.ts';

/** Seconds, core/v1 ServiceAccountTokenProjection's default. */
const defaultExpiration = 3600;
const dayMs = 24 * 3600 * 1000;
/** Renewals are spread by up to this, so that a node's tokens do not all expire together. */
const jitterMs = 10_000;

interface CachedToken {
  token: string;
  /** Milliseconds since the epoch. */
  issued: number;
  expires: number;
}

/**
 * Makes a token cache. A renewal that fails gives the old token as long as that is valid.
 *
 * @param deps.random in [0, 1), for the jitter.
 */
export function createTokens(deps: {
  api: Pick<KubeletApi, 'createToken'>;
  clock: Clock;
  random?: () => number;
}): TokenSource & { forget(podUid: string): void } {
  const cache = new Map<string, CachedToken>();
  const random = deps.random ?? Math.random;
  const due = (entry: CachedToken) => {
    const life = entry.expires - entry.issued;
    const renewAt = Math.min(entry.issued + life * 0.8, entry.issued + dayMs);
    return deps.clock.now() > renewAt - random() * jitterMs;
  };
  return {
    async token(pod, request) {
      const expirationSeconds = request.expirationSeconds ?? defaultExpiration;
      const key = keyOf(pod, request.audience ?? '', expirationSeconds);
      const cached = cache.get(key);
      if (cached !== undefined && !due(cached)) return cached.token;
      try {
        const audiences = request.audience === undefined ? undefined : [request.audience];
        const account = pod.spec.serviceAccountName ?? 'default';
        const fresh = await deps.api.createToken(pod.metadata.namespace ?? 'default', account, {
          audiences,
          expirationSeconds,
          pod,
        });
        const expires = Date.parse(fresh.expirationTimestamp);
        cache.set(key, { token: fresh.token, issued: deps.clock.now(), expires });
        return fresh.token;
      } catch (error) {
        if (cached !== undefined && cached.expires > deps.clock.now()) return cached.token;
        throw error;
      }
    },
    forget(podUid) {
      for (const key of cache.keys()) if (key.startsWith(`${podUid}/`)) cache.delete(key);
    },
  };
}

function keyOf(pod: Pod, audience: string, expirationSeconds: number): string {
  const rest = JSON.stringify([
    pod.metadata.namespace,
    pod.spec.serviceAccountName,
    audience,
    expirationSeconds,
  ]);
  return `${pod.metadata.uid}/${createHash('sha256').update(rest).digest('hex')}`;
}
