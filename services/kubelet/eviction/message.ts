/** What an evicted pod's status says, in the original's words. */
import { requestOf } from '../resources/qos.ts';
import { layerUsage } from '../stats/pod-usage.ts';
import type { Ranked } from './rank.ts';
import { type Observation, resourceOf, type Threshold } from './thresholds.ts';

/** The message for a pod that goes because of `threshold`. */
export function evictionMessage(
  { usage }: Ranked,
  { signal, value }: Threshold,
  observed: Observation | undefined,
): string {
  const resource = resourceOf(signal);
  let message = `The node was low on resource: ${resource}. Threshold quantity: ${value}, available: ${amount(resource, observed?.available ?? 0)}. `;
  if (resource !== 'memory' && resource !== 'ephemeral-storage') return message;
  for (const { name, stats, logs } of usage.containers) {
    const used =
      resource === 'memory'
        ? Number(stats.memory?.workingSetBytes?.value ?? 0n)
        : layerUsage(stats).bytes + logs.bytes;
    const spec = usage.pod.spec.containers.find((container) => container.name === name);
    const requested = requestOf(spec?.resources, resource);
    if (used > requested)
      message += `Container ${name} was using ${amount(resource, used)}, request is ${amount(resource, requested)}, has larger consumption of ${resource}. `;
  }
  return message;
}

function amount(resource: string, value: number): string {
  if (resource === 'inodes' || resource === 'pids') return String(value);
  return value === 0 ? '0' : `${Math.ceil(value / 1024)}Ki`;
}
