/**
 * Labels and annotations the kubelet writes on sandboxes and containers and reads back after a restart. The
 * names are the original's, so that crictl and log collectors find what they look for.
 */
import { join } from 'node:path';
import type { Pod } from '#contracts/kubernetes/types.ts';
import { nameOf, namespaceOf, specOf, uidOf } from '../pods/identity.ts';
import type { AnyContainer } from '../ports.ts';
import { containerHash } from './hash.ts';

export const podNameLabel = 'io.kubernetes.pod.name';
export const podNamespaceLabel = 'io.kubernetes.pod.namespace';
export const podUidLabel = 'io.kubernetes.pod.uid';
export const containerNameLabel = 'io.kubernetes.container.name';

export const containerHashAnnotation = 'io.kubernetes.container.hash';
export const restartCountAnnotation = 'io.kubernetes.container.restartCount';
export const messagePathAnnotation = 'io.kubernetes.container.terminationMessagePath';
export const messagePolicyAnnotation = 'io.kubernetes.container.terminationMessagePolicy';
const podGraceAnnotation = 'io.kubernetes.pod.terminationGracePeriod';
const deletionGraceAnnotation = 'io.kubernetes.pod.deletionGracePeriod';
const portsAnnotation = 'io.kubernetes.container.ports';
const preStopAnnotation = 'io.kubernetes.container.preStopHandler';

/** Labels of a pod's sandbox: the pod's own and those that identify it. */
export function sandboxLabels(pod: Pod): Record<string, string> {
  return { ...pod.metadata?.labels, ...podLabels(pod) };
}

function podLabels(pod: Pod): Record<string, string> {
  return {
    [podNameLabel]: nameOf(pod),
    [podNamespaceLabel]: namespaceOf(pod),
    [podUidLabel]: uidOf(pod),
  };
}

export function containerLabels(pod: Pod, container: AnyContainer): Record<string, string> {
  return { ...podLabels(pod), [containerNameLabel]: container.name };
}

export function containerAnnotations(
  pod: Pod,
  container: AnyContainer,
  restartCount: number,
): Record<string, string> {
  const annotations: Record<string, string> = {
    [containerHashAnnotation]: containerHash(container),
    [restartCountAnnotation]: String(restartCount),
    [messagePathAnnotation]: container.terminationMessagePath ?? '/dev/termination-log',
    [messagePolicyAnnotation]: container.terminationMessagePolicy ?? 'File',
  };
  const grace = specOf(pod).terminationGracePeriodSeconds;
  const deletion = pod.metadata?.deletionGracePeriodSeconds;
  if (grace !== undefined) annotations[podGraceAnnotation] = String(grace);
  if (deletion !== undefined) annotations[deletionGraceAnnotation] = String(deletion);
  if (container.lifecycle?.preStop)
    annotations[preStopAnnotation] = JSON.stringify(container.lifecycle.preStop);
  if (container.ports?.length) annotations[portsAnnotation] = JSON.stringify(container.ports);
  return annotations;
}

/** `POD_LOGS/NAMESPACE_NAME_UID`. */
export function logDirectory(podLogs: string, pod: Pod): string {
  return join(podLogs, `${namespaceOf(pod)}_${nameOf(pod)}_${uidOf(pod)}`);
}
