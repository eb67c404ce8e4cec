/** How pods are told from one another: names, UIDs, annotations, and where they came from. */
import type { Pod, PodSpec } from '#contracts/kubernetes/types.ts';

/** Where the desired state of a pod comes from. */
export type PodSource = 'file' | 'http' | 'api';

/** Annotations that only the kubelet writes (kubelet-facts 1). */
export const sourceAnnotation = 'kubernetes.io/config.source';
export const seenAnnotation = 'kubernetes.io/config.seen';
export const hashAnnotation = 'kubernetes.io/config.hash';
export const mirrorAnnotation = 'kubernetes.io/config.mirror';

export function uidOf(pod: Pod): string {
  return pod.metadata?.uid ?? '';
}

export function nameOf(pod: Pod): string {
  return pod.metadata?.name ?? '';
}

export function namespaceOf(pod: Pod): string {
  return pod.metadata?.namespace ?? 'default';
}

/** `NAME_NAMESPACE`: unique among the pods of one source. */
export function fullName(pod: Pod): string {
  return `${nameOf(pod)}_${namespaceOf(pod)}`;
}

/** `NAMESPACE/NAME`, as messages name pods. */
export function title(pod: Pod): string {
  return `${namespaceOf(pod)}/${nameOf(pod)}`;
}

const noSpec: PodSpec = { containers: [] };

export function specOf(pod: Pod): PodSpec {
  return pod.spec ?? noSpec;
}

export function annotationOf(pod: Pod, key: string): string | undefined {
  return pod.metadata?.annotations?.[key];
}

/** The source of a pod; those without the annotation came from the API. */
export function sourceOf(pod: Pod): PodSource {
  const source = annotationOf(pod, sourceAnnotation);
  return source === 'file' || source === 'http' ? source : 'api';
}

/** A pod from a file or a URL, which no API can stop. */
export function isStatic(pod: Pod): boolean {
  return sourceOf(pod) !== 'api';
}

/** The API's read-only picture of a static pod. */
export function isMirror(pod: Pod): boolean {
  return annotationOf(pod, mirrorAnnotation) !== undefined;
}

/** Static, mirror, or of system priority: admitted and kept before others. */
export function isCritical(pod: Pod): boolean {
  return isStatic(pod) || isMirror(pod) || (specOf(pod).priority ?? 0) >= 2_000_000_000;
}

/** Whether the API says the pod is over. */
export function hasTerminalPhase(pod: Pod): boolean {
  return pod.status?.phase === 'Succeeded' || pod.status?.phase === 'Failed';
}

export function isDeleted(pod: Pod): boolean {
  return pod.metadata?.deletionTimestamp !== undefined && pod.metadata.deletionTimestamp !== null;
}

/** Seconds; the API's default when the spec has none. */
export function gracePeriodOf(pod: Pod): number {
  return specOf(pod).terminationGracePeriodSeconds ?? 30;
}
