/** Why containers of a pod are not running: what the last sync said, until a start succeeds. */
import type { SyncOutcome } from '../runtime-manager/sync-pod.ts';

export interface WaitingCause {
  reason: string;
  message: string;
}

/** Causes by pod UID and container name. */
export interface ReasonCache {
  update(uid: string, outcome: Pick<SyncOutcome, 'failures' | 'started'>): void;
  get(uid: string, container: string): WaitingCause | undefined;
  forget(uid: string): void;
}

export function createReasonCache(): ReasonCache {
  const pods = new Map<string, Map<string, WaitingCause>>();
  return {
    update(uid, { failures, started }) {
      const causes = pods.get(uid) ?? new Map<string, WaitingCause>();
      for (const name of started) causes.delete(name);
      for (const [name, { reason, message }] of failures) causes.set(name, { reason, message });
      if (causes.size > 0) pods.set(uid, causes);
      else pods.delete(uid);
    },
    get: (uid, container) => pods.get(uid)?.get(container),
    forget: (uid) => void pods.delete(uid),
  };
}
