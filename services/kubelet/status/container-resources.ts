/** The resources a container runs with, as its status shows them. */

import { parseQuantity } from '#contracts/kubernetes/quantity.ts';
import type { ContainerStatus } from '#contracts/kubernetes/types.ts';
import type { AnyContainer } from '../ports.ts';
import { bytesText } from '../resources/amounts.ts';
import type { ContainerRecord } from '../runtime-manager/model.ts';

/**
 * `allocatedResources` are the requests; `resources` what is in force: of a running container the runtime's
 * word on cpu and memory limits replaces the spec's, so that a resize under way can be seen.
 */
export function resourcesOf(
  container: AnyContainer,
  record: ContainerRecord,
): Pick<ContainerStatus, 'resources' | 'allocatedResources'> {
  const spec = container.resources;
  if (spec === undefined) return {};
  const requests = { ...spec.requests };
  const limits = { ...spec.limits };
  const actual = record.state === 'running' ? record.resources?.linux : undefined;
  if (actual !== undefined) {
    if (limits.memory !== undefined && actual.memoryLimitInBytes > 0n) {
      limits.memory = sameQuantity(limits.memory, Number(actual.memoryLimitInBytes), 1);
    }
    if (limits.cpu !== undefined && actual.cpuQuota > 0n && actual.cpuPeriod > 0n) {
      limits.cpu = sameQuantity(limits.cpu, Number((actual.cpuQuota * 1000n) / actual.cpuPeriod), 1000);
    }
  }
  const has = (map: object) => Object.keys(map).length > 0;
  return {
    ...(has(requests) ? { allocatedResources: requests } : {}),
    resources: { ...(has(limits) ? { limits } : {}), ...(has(requests) ? { requests } : {}) },
  };
}

/** The spec's own words while they mean what is in force, else the amount as the API would write it. */
function sameQuantity(text: string, value: number, scale: number): string {
  if (Math.round(parseQuantity(text) * scale) === value) return text;
  if (scale === 1) return bytesText(value);
  return value % 1000 === 0 ? String(value / 1000) : `${value}m`;
}
