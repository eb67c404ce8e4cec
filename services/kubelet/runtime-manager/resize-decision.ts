/** Whether a running container has other resources than it was granted, and how it gets them (KEP-1287). */

import { parseQuantity } from '#contracts/kubernetes/quantity.ts';
import type { Pod, ResourceRequirements } from '#contracts/kubernetes/types.ts';
import { uidOf } from '../pods/identity.ts';
import type { AnyContainer } from '../ports.ts';
import type { Signals } from './kills.ts';

const resizable = ['cpu', 'memory'] as const;

/** In place, by a restart because the container's policy for a changed resource says so, or not at all. */
export function resizeOf(
  pod: Pod,
  container: AnyContainer,
  signals: Pick<Signals, 'actuated'>,
): 'none' | 'in-place' | 'restart' {
  const actual = signals.actuated(uidOf(pod), container.name);
  if (actual === undefined) return 'none';
  const changed = resizable.filter((name) => differs(actual, container.resources ?? {}, name));
  if (changed.length === 0) return 'none';
  const policies = container.resizePolicy ?? [];
  const restart = changed.some((name) =>
    policies.some((policy) => policy.resourceName === name && policy.restartPolicy === 'RestartContainer'),
  );
  return restart ? 'restart' : 'in-place';
}

/** Whether request or limit of one resource differ in value. */
export function differs(a: ResourceRequirements, b: ResourceRequirements, name: string): boolean {
  return (
    amountIn(a.requests, name) !== amountIn(b.requests, name) ||
    amountIn(a.limits, name) !== amountIn(b.limits, name)
  );
}

function amountIn(list: Record<string, string> | undefined, name: string): number | undefined {
  const text = list?.[name];
  return text === undefined ? undefined : parseQuantity(text);
}
