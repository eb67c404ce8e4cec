/** Pod defaults: SetDefaults_Pod, SetDefaults_PodSpec and what they reach in the original's core/v1. */

import { addQuantities, compareQuantities, formatQuantity, quantity } from '../quantity.ts';
import type { Container, Pod, PodSpec, ResourceRequirements } from '../types.ts';
import { defaultContainer } from './container.ts';
import { defaultVolume } from './volumes.ts';

/** Seconds between TERM and KILL. */
const defaultGracePeriodSeconds = 30;

/** Fills in a pod. */
export function defaultPod(pod: Pod): void {
  defaultPodSpec(pod.spec);
  pod.status ??= {};
  pod.status.phase ??= 'Pending';
}

/** Fills in a pod's spec. */
export function defaultPodSpec(spec: PodSpec): void {
  spec.restartPolicy ??= 'Always';
  spec.dnsPolicy ??= 'ClusterFirst';
  spec.schedulerName ??= 'default-scheduler';
  spec.terminationGracePeriodSeconds ??= defaultGracePeriodSeconds;
  if (spec.terminationGracePeriodSeconds < 0) spec.terminationGracePeriodSeconds = 1;
  spec.securityContext ??= {};
  spec.enableServiceLinks ??= true;
  spec.serviceAccountName ??= spec.serviceAccount;
  if (spec.serviceAccountName !== undefined) spec.serviceAccount = spec.serviceAccountName;
  const containers = [...(spec.containers ?? []), ...(spec.initContainers ?? [])];
  for (const container of containers) {
    if (spec.hostNetwork === true) useHostPorts(container);
    defaultContainer(container);
  }
  for (const container of spec.ephemeralContainers ?? []) defaultContainer(container);
  for (const volume of spec.volumes ?? []) defaultVolume(volume);
  if (spec.resources !== undefined) defaultPodResources(spec, spec.resources);
}

/** With the host's network a container port is a host port. */
function useHostPorts(container: Container): void {
  for (const port of container.ports ?? []) {
    if (port.hostPort === undefined || port.hostPort === 0) port.hostPort = port.containerPort;
  }
}

const podLevel = (name: string) => name === 'cpu' || name === 'memory' || name.startsWith('hugepages-');

/** Pod-level requests that are left out are what the containers ask for together, else the pod's limit. */
function defaultPodResources(spec: PodSpec, resources: ResourceRequirements): void {
  if (Object.keys({ ...resources.limits, ...resources.requests }).length === 0) return;
  const requests: Record<string, string> = { ...resources.requests };
  for (const [name, amount] of Object.entries(containerRequests(spec)))
    if (podLevel(name) && !name.startsWith('hugepages-')) requests[name] ??= amount;
  for (const [name, amount] of Object.entries(resources.limits ?? {})) requests[name] ??= amount;
  if (Object.keys(requests).length > 0) resources.requests = requests;
}

/** What a pod's containers ask for at the most at one time: the sum of those that run together, or an init's own. */
export function containerRequests(spec: PodSpec): Record<string, string> {
  const total: Record<string, string> = {};
  const sidecars: Record<string, string> = {};
  const initPeak: Record<string, string> = {};
  for (const container of spec.initContainers ?? []) {
    const requests = container.resources?.requests ?? {};
    if (container.restartPolicy === 'Always') {
      addTo(sidecars, requests);
      raiseTo(initPeak, sidecars);
    } else {
      raiseTo(initPeak, sum(sidecars, requests));
    }
  }
  for (const container of spec.containers ?? []) addTo(total, container.resources?.requests ?? {});
  addTo(total, sidecars);
  raiseTo(total, initPeak);
  return total;
}

function sum(a: Record<string, string>, b: Record<string, string>): Record<string, string> {
  const result = { ...a };
  addTo(result, b);
  return result;
}

function addTo(total: Record<string, string>, more: Record<string, string>): void {
  for (const [name, amount] of Object.entries(more))
    total[name] = formatQuantity(addQuantities(quantity(total[name] ?? '0'), quantity(amount)));
}

function raiseTo(total: Record<string, string>, least: Record<string, string>): void {
  for (const [name, amount] of Object.entries(least)) {
    if (compareQuantities(quantity(total[name] ?? '0'), quantity(amount)) < 0) total[name] = amount;
  }
}
