/** The newest changes of every resource, for watches that start a little in the past, and who listens for more. */
import type { KubeObject } from '#contracts/kubernetes/types.ts';

/** An object as it was at a revision. Never changed: an update makes a new one. */
export interface Stored {
  readonly object: KubeObject;
  /** The object as JSON, with its resourceVersion: answers are put together from these. */
  readonly json: string;
  readonly revision: number;
}

/** One change. */
export interface Change {
  type: 'ADDED' | 'MODIFIED' | 'DELETED';
  revision: number;
  /** The object as it is now; for DELETED as it was last, at the deletion's revision. */
  current: Stored;
  /** As it was before: an object may leave or enter a selection. */
  previous: Stored | undefined;
  /** What watches send of it, by event type: made once for all of them. */
  readonly lines: Map<string, Buffer>;
}

/** Changes kept for each resource. */
const maxKept = 2_000;

/** The changes. */
export interface History {
  /** Adds a change and tells the listeners. */
  publish(resource: string, change: Change): void;
  /** Changes of a resource after `revision`; undefined if they are no longer all kept. */
  since(resource: string, revision: number): Change[] | undefined;
  /** Calls back on every change. @returns how to stop. */
  subscribe(resource: string, listener: (change: Change) => void): () => void;
  /** Forgets everything before now and tells `onReset` listeners: watches must start anew. */
  reset(revision: number): void;
  onReset(listener: () => void): () => void;
}

/** An empty history that begins at `start`. */
export function createHistory(start: number): History {
  const kept = new Map<string, Change[]>();
  const floors = new Map<string, number>();
  const listeners = new Map<string, Set<(change: Change) => void>>();
  const resets = new Set<() => void>();
  let floor = start;
  return {
    publish: (resource, change) => {
      const changes = kept.get(resource) ?? [];
      kept.set(resource, changes);
      changes.push(change);
      // Cut in lumps, so that a change does not move the whole list each time.
      if (changes.length > maxKept * 1.5) {
        const dropped = changes.splice(0, changes.length - maxKept);
        floors.set(resource, dropped.at(-1)?.revision ?? floor);
      }
      for (const listener of listeners.get(resource) ?? []) listener(change);
    },
    since: (resource, revision) => {
      if (revision < Math.max(floor, floors.get(resource) ?? 0)) return undefined;
      return (kept.get(resource) ?? []).filter((change) => change.revision > revision);
    },
    subscribe: (resource, listener) => {
      const set = listeners.get(resource) ?? new Set();
      listeners.set(resource, set);
      set.add(listener);
      return () => set.delete(listener);
    },
    reset: (revision) => {
      floor = revision;
      kept.clear();
      floors.clear();
      for (const listener of resets) listener();
    },
    onReset: (listener) => {
      resets.add(listener);
      return () => resets.delete(listener);
    },
  };
}
