/** Whether every source was seen: before, nothing is ended or cleaned up, since it may still be wanted. */
import type { PodSource } from '../pods/identity.ts';

export interface Sources {
  /** The sync loop has taken in a set of this source. */
  seen(source: PodSource): void;
  allReady(): boolean;
}

export function createSources(configured: readonly PodSource[]): Sources {
  const missing = new Set(configured);
  return {
    seen: (source) => void missing.delete(source),
    allReady: () => missing.size === 0,
  };
}
