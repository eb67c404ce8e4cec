/** Quality of service classes (kubernetes.io/docs: Pod Quality of Service Classes) and what follows from them. */
import type { Container, Pod, ResourceRequirements } from '#contracts/kubernetes/types.ts';
import type { AnyContainer } from '../ports.ts';
import { amountOf, exactOf } from './amounts.ts';

/** The class of a pod. */
export type QosClass = 'Guaranteed' | 'Burstable' | 'BestEffort';

/** Only these count for the class. */
const counted = ['cpu', 'memory'];

/** core/v1: pods at or above this priority are critical (system-cluster-critical). */
export const criticalPriority = 2_000_000_000;

/** Computes the class of a pod from its resources; pod-level resources replace the containers'. */
export function qosOf(pod: Pod): QosClass {
  const all = hasPodLevel(pod)
    ? [pod.spec.resources]
    : [...pod.spec.containers, ...(pod.spec.initContainers ?? [])].map((container) => container.resources);
  if (all.every((resources) => isEmpty(resources))) return 'BestEffort';
  return all.every((resources) => isGuaranteed(resources)) ? 'Guaranteed' : 'Burstable';
}

/** Whether the pod states resources of its own, beside its containers' (KEP-2837). */
export function hasPodLevel(pod: Pod): boolean {
  return !isEmpty(pod.spec.resources);
}

function isEmpty(resources: ResourceRequirements | undefined): boolean {
  return counted.every(
    (name) => value(resources, 'requests', name) === 0 && value(resources, 'limits', name) === 0,
  );
}

function isGuaranteed(resources: ResourceRequirements | undefined): boolean {
  return counted.every((name) => {
    const limit = value(resources, 'limits', name);
    const request = value(resources, 'requests', name);
    // An absent request is the limit's: the API server fills it in, a manifest from a file may not have it.
    return limit > 0 && (request === limit || resources?.requests?.[name] === undefined);
  });
}

function value(
  resources: ResourceRequirements | undefined,
  side: 'requests' | 'limits',
  name: string,
): number {
  const stated = resources?.[side]?.[name];
  return stated === undefined ? 0 : Math.max(0, exactOf(stated));
}

/** Whether the pod is a static pod (from a file or a URL). */
export function isStatic(pod: Pod): boolean {
  const source = pod.metadata.annotations?.['kubernetes.io/config.source'];
  return source !== undefined && source !== 'api';
}

/** Whether a pod is never evicted: static, mirror, or of critical priority. */
export function isCritical(pod: Pod): boolean {
  if (isStatic(pod)) return true;
  if (pod.metadata.annotations?.['kubernetes.io/config.mirror'] !== undefined) return true;
  return (pod.spec.priority ?? 0) >= criticalPriority;
}

/** Whether a pod belongs to the node itself: a critical one of this class by name, as in the original. */
function isNodeCritical(pod: Pod): boolean {
  return isCritical(pod) && pod.spec.priorityClassName === 'system-node-critical';
}

/**
 * The OOM score adjustment of a container (proc_pid_oom_score_adj(5)): the less it asked for, the sooner it goes.
 *
 * @param memoryCapacity bytes of the machine.
 */
export function oomScoreAdj(pod: Pod, container: AnyContainer, memoryCapacity: number): number {
  if (isNodeCritical(pod)) return -997;
  const qos = qosOf(pod);
  if (qos === 'Guaranteed') return -997;
  if (qos === 'BestEffort') return 1000;
  const own = burstableScore(memoryRequest(container, pod), memoryCapacity);
  if (!isSidecar(pod, container)) return own;
  // A sidecar must not die before the containers that it serves.
  const regular = pod.spec.containers.map((each) => burstableScore(memoryRequest(each, pod), memoryCapacity));
  return Math.min(own, Math.max(...regular));
}

function burstableScore(request: number, capacity: number): number {
  const score = Math.trunc(1000 - (1000 * request) / capacity);
  return Math.min(999, Math.max(3, score));
}

/** Bytes a container asks for; what a pod-level request leaves over is shared evenly. */
function memoryRequest(container: AnyContainer, pod: Pod): number {
  const own = requestOf(container.resources, 'memory');
  if (!hasPodLevel(pod)) return own;
  const whole = requestOf(pod.spec.resources, 'memory');
  const stated = pod.spec.containers.map((each) => requestOf(each.resources, 'memory'));
  const left = Math.max(0, whole - stated.reduce((sum, each) => sum + each, 0));
  return own + left / pod.spec.containers.length;
}

/** A request, or the limit where none is stated; 0 for neither. */
export function requestOf(resources: ResourceRequirements | undefined, name: string): number {
  const stated = resources?.requests?.[name] ?? resources?.limits?.[name];
  return stated === undefined ? 0 : amountOf(stated);
}

/** Whether `container` is a restartable init container of `pod`. */
export function isSidecar(pod: Pod, container: AnyContainer): boolean {
  const found = pod.spec.initContainers?.find((each: Container) => each.name === container.name);
  return found?.restartPolicy === 'Always';
}
