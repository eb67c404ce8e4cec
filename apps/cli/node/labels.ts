/** The labels by which the kubelet marks sandboxes and containers (kubelet's pkg/kubelet/types/labels). */

/** Label keys. */
export const Label = {
  podName: 'io.kubernetes.pod.name',
  podNamespace: 'io.kubernetes.pod.namespace',
  podUid: 'io.kubernetes.pod.uid',
  container: 'io.kubernetes.container.name',
} as const;

/** The annotation in which the kubelet counts restarts. */
export const restartCountAnnotation = 'io.kubernetes.container.restartCount';

/** `name` in namespace default, else `namespace/name`; a dash for things without a pod. */
export function podDisplayName(labels: Record<string, string>): string {
  const name = labels[Label.podName];
  if (name === undefined) return '-';
  const namespace = labels[Label.podNamespace] ?? 'default';
  return namespace === 'default' ? name : `${namespace}/${name}`;
}
