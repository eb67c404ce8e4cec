/**
 * Merges the pods of all sources into one desired state, and says what changed. Each source sends full sets;
 * they are compared by UID (kubelet-facts 1).
 */
import { isDeepStrictEqual } from 'node:util';
import type { Pod } from '#contracts/kubernetes/types.ts';
import {
  fullName,
  isDeleted,
  mirrorAnnotation,
  type PodSource,
  seenAnnotation,
  sourceAnnotation,
  uidOf,
} from '../pods/identity.ts';

/** What happened to pods of one source. */
export interface PodUpdate {
  op: 'ADD' | 'UPDATE' | 'REMOVE' | 'DELETE' | 'RECONCILE';
  source: PodSource;
  pods: Pod[];
}

export interface PodConfig {
  /** Takes the full set of a source. */
  set(source: PodSource, pods: readonly Pod[]): void;
  /** The pods of all sources. */
  pods(): Pod[];
}

export interface PodConfigDeps {
  /** Milliseconds since the epoch. */
  now(): number;
  emit(update: PodUpdate): void;
  /** A pod was dropped, since another of its name stands in the same source. */
  onDuplicate?(pod: Pod): void;
}

export function createPodConfig({ now, emit, onDuplicate }: PodConfigDeps): PodConfig {
  const sources = new Map<PodSource, Map<string, Pod>>();
  // What a pod looked like when it came: the same object again needs no comparing.
  const received = new WeakMap<Pod, Pod>();
  return {
    set(source, pods) {
      const before = sources.get(source);
      const after = new Map<string, Pod>();
      const updates: Record<PodUpdate['op'], Pod[]> = {
        REMOVE: [],
        ADD: [],
        UPDATE: [],
        DELETE: [],
        RECONCILE: [],
      };
      for (const pod of withoutDuplicates(pods, onDuplicate)) {
        const old = before?.get(uidOf(pod));
        if (old !== undefined && received.get(pod) === old) {
          after.set(uidOf(pod), old);
          continue;
        }
        const merged = annotated(pod, source, old?.metadata.annotations?.[seenAnnotation] ?? seenTime(now()));
        const op = opFor(old, merged);
        const kept = op === undefined && old !== undefined ? old : merged;
        after.set(uidOf(pod), kept);
        received.set(pod, kept);
        if (op !== undefined) updates[op].push(merged);
      }
      for (const [uid, old] of before ?? []) if (!after.has(uid)) updates.REMOVE.push(old);
      sources.set(source, after);
      for (const op of ['REMOVE', 'ADD', 'UPDATE', 'DELETE'] as const) {
        if (updates[op].length > 0) emit({ op, source, pods: updates[op] });
      }
      // An empty first set says that the source was seen.
      if (before === undefined && after.size === 0) emit({ op: 'ADD', source, pods: [] });
      if (updates.RECONCILE.length > 0) emit({ op: 'RECONCILE', source, pods: updates.RECONCILE });
    },
    pods: () => [...sources.values()].flatMap((pods) => [...pods.values()]),
  };
}

/** The first pod of each name in a set. */
function withoutDuplicates(pods: readonly Pod[], onDuplicate: PodConfigDeps['onDuplicate']): Pod[] {
  const names = new Set<string>();
  return pods.filter((pod) => {
    const isNew = !names.has(fullName(pod));
    names.add(fullName(pod));
    if (!isNew) onDuplicate?.(pod);
    return isNew;
  });
}

function annotated(pod: Pod, source: PodSource, seen: string): Pod {
  const annotations = { ...pod.metadata.annotations, [sourceAnnotation]: source, [seenAnnotation]: seen };
  return { ...pod, metadata: { ...pod.metadata, annotations } };
}

/** RFC 3339 with nine decimals, as the original writes it. */
function seenTime(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, -1)}000000Z`;
}

function opFor(old: Pod | undefined, pod: Pod): PodUpdate['op'] | undefined {
  if (old === undefined) return 'ADD';
  if (!sameMeaning(old, pod)) return isDeleted(pod) ? 'DELETE' : 'UPDATE';
  return isDeepStrictEqual(old.status, pod.status) ? undefined : 'RECONCILE';
}

const ownAnnotations = new Set([sourceAnnotation, seenAnnotation, mirrorAnnotation]);

/** Whether two versions of a pod ask for the same. */
function sameMeaning(a: Pod, b: Pod): boolean {
  return isDeepStrictEqual(meaningOf(a), meaningOf(b));
}

function meaningOf(pod: Pod) {
  const { labels, deletionTimestamp, deletionGracePeriodSeconds, annotations } = pod.metadata;
  const kept = Object.entries(annotations ?? {}).filter(([key]) => !ownAnnotations.has(key));
  return {
    spec: pod.spec,
    labels: labels ?? {},
    deletionTimestamp: deletionTimestamp ?? undefined,
    deletionGracePeriodSeconds: deletionGracePeriodSeconds ?? undefined,
    annotations: Object.fromEntries(kept),
  };
}
