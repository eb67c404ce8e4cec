/**
 * MemoryQoS (KEP-2570, cgroup version 2 only): containers are slowed down before they meet their limit, and, with
 * tiered reservation, keep what they asked for when the machine runs short.
 */
import type { Pod } from '#contracts/kubernetes/types.ts';
import type { AnyContainer } from '../ports.ts';
import { amountOf } from './amounts.ts';
import { qosOf, requestOf } from './qos.ts';

/** How it is set; undefined for off. */
export interface MemoryQos {
  /** `memoryThrottlingFactor`: where between request and limit slowing down begins. */
  throttling: number;
  /** `memoryReservationPolicy: TieredReservation`. */
  reserves: boolean;
  /** Bytes that pods may use on this node: the limit of containers that have none. */
  allocatable: () => number;
}

const pageSize = 4096;

/** What a container's cgroup gets: memory.min, memory.low and memory.high. */
export function containerMemoryQos(
  pod: Pod,
  container: AnyContainer,
  { throttling, reserves, allocatable }: MemoryQos,
): Record<string, string> {
  const request = requestOf(container.resources, 'memory');
  const stated = container.resources?.limits?.memory;
  const limit = stated === undefined ? allocatable() : amountOf(stated);
  const files = reserves ? reservation(pod, request) : { 'memory.min': '0', 'memory.low': '0' };
  if (request === limit || limit === 0) return files;
  const high = Math.floor((request + (limit - request) * throttling) / pageSize) * pageSize;
  return high > request ? { ...files, 'memory.high': String(high) } : files;
}

/** Guaranteed pods keep their memory whatever happens, others as long as it is possible. */
function reservation(pod: Pod, bytes: number): Record<string, string> {
  const isHard = qosOf(pod) === 'Guaranteed';
  return { 'memory.min': String(isHard ? bytes : 0), 'memory.low': String(isHard ? 0 : bytes) };
}

/** The same for a pod's cgroup, without which the kernel heeds that of its containers not at all (cgroups(7)). */
export function podReservation(
  pod: Pod,
  bytes: number,
  memoryQos: MemoryQos | undefined,
): { memoryMin?: number; memoryLow?: number } {
  if (memoryQos?.reserves !== true) return {};
  const isHard = qosOf(pod) === 'Guaranteed';
  return { memoryMin: isHard ? bytes : 0, memoryLow: isHard ? 0 : bytes };
}
