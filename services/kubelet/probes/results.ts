/** The settled results of all probes of one kind, by CRI container id; listeners hear of changes. */
import type { ProbeKind, ProbeResult, ProbeUpdate } from '../ports.ts';

/** Whose result it is. */
export interface ResultOwner {
  podUid: string;
  container: string;
}

/** Results of one kind. */
export interface Results {
  get(containerId: string): ProbeResult | undefined;
  /** Sets a result; the listener is told when it differs from what was there. */
  set(containerId: string, result: ProbeResult, owner: ResultOwner): void;
  remove(containerId: string): void;
}

/** Makes an empty set of results. */
export function createResults(kind: ProbeKind, listener: (update: ProbeUpdate) => void): Results {
  const results = new Map<string, ProbeResult>();
  return {
    get: (containerId) => results.get(containerId),
    set(containerId, result, owner) {
      if (results.get(containerId) === result) return;
      results.set(containerId, result);
      listener({ kind, ...owner, containerId, result });
    },
    remove: (containerId) => void results.delete(containerId),
  };
}
