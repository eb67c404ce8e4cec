/** Whether a running container has other resources than it was granted, and how it gets them (KEP-1287). */

import { parseQuantity } from '#contracts/kubernetes/quantity.ts';
import type { Pod, ResourceRequirements } from '#contracts/kubernetes/types.ts';
import { podLevel } from '../pods/allocation.ts';
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
  if (changed.length === 0) return inheritsAnother(pod, container, signals) ? 'in-place' : 'none';
  const policies = container.resizePolicy ?? [];
  const restart = changed.some((name) =>
    policies.some((policy) => policy.resourceName === name && policy.restartPolicy === 'RestartContainer'),
  );
  return restart ? 'restart' : 'in-place';
}

/** Whether the pod as a whole has other resources than it was last given. */
export function isPodResized(pod: Pod, signals: Pick<Signals, 'actuated'>): boolean {
  const actual = signals.actuated(uidOf(pod), podLevel);
  return actual !== undefined && resizable.some((name) => differs(actual, pod.spec.resources ?? {}, name));
}

/** A container without a limit has the pod's, and another one when that changes. */
function inheritsAnother(pod: Pod, container: AnyContainer, signals: Pick<Signals, 'actuated'>): boolean {
  const actual = signals.actuated(uidOf(pod), podLevel);
  if (actual === undefined) return false;
  return resizable.some(
    (name) =>
      container.resources?.limits?.[name] === undefined &&
      amountIn(actual.limits, name) !== amountIn(pod.spec.resources?.limits, name),
  );
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
