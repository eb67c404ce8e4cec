/** Carries out resizes: the pod's cgroup grows before its containers do, and shrinks after them (KEP-1287). */

import { parseQuantity } from '#contracts/kubernetes/quantity.ts';
import type { Pod } from '#contracts/kubernetes/types.ts';
import { messageOf } from '#foundation/base/errors.ts';
import { uidOf } from '../pods/identity.ts';
import type { Running } from './actions.ts';
import type { RuntimeManagerDeps } from './deps.ts';

/** What came of it: undefined when all went well. */
export type ResizeFailure = string | undefined;

/**
 * Gives running containers their granted resources. A memory limit is never set below what is in use: the kernel
 * would kill.
 *
 * @returns why not all could be resized.
 */
export async function applyResizes(
  deps: RuntimeManagerDeps,
  pod: Pod,
  resizes: readonly Running[],
): Promise<ResizeFailure> {
  if (resizes.length === 0) return undefined;
  const shrinks = resizes.every(({ container }) =>
    shrinksMemory(deps, pod, container.name, container.resources?.limits),
  );
  const failures: string[] = [];
  const updatePod = async () => {
    try {
      await deps.resources.updatePodCgroup(pod);
    } catch (error) {
      failures.push(messageOf(error));
    }
  };
  if (!shrinks) await updatePod();
  for (const running of resizes) {
    try {
      await resizeOne(deps, pod, running);
    } catch (error) {
      failures.push(`container ${running.container.name}: ${messageOf(error)}`);
    }
  }
  if (shrinks && failures.length === 0) await updatePod();
  return failures.length === 0 ? undefined : failures.join('; ');
}

async function resizeOne(deps: RuntimeManagerDeps, pod: Pod, { container, record }: Running): Promise<void> {
  const limits = container.resources?.limits;
  if (shrinksMemory(deps, pod, container.name, limits)) await refuseBelowUsage(deps, record.id, limits);
  const linux = deps.linuxResources(pod, container);
  await deps.runtime.updateContainerResources({ containerId: record.id, linux });
  deps.actuated.setActuated(uidOf(pod), container.name, container.resources);
  const message = `Container resized`;
  deps.events.pod(pod, 'Normal', 'ResizeCompleted', message, { container: container.name });
}

function shrinksMemory(
  { actuated }: RuntimeManagerDeps,
  pod: Pod,
  name: string,
  limits: Record<string, string> | undefined,
): boolean {
  const before = actuated.actuated(uidOf(pod), name)?.limits?.memory;
  const after = limits?.memory;
  if (after === undefined) return false;
  return before === undefined || parseQuantity(after) < parseQuantity(before);
}

/** @throws Error when the container uses more memory than its new limit. */
async function refuseBelowUsage(
  { runtime }: RuntimeManagerDeps,
  containerId: string,
  limits: Record<string, string> | undefined,
): Promise<void> {
  const { stats } = await runtime.containerStats({ containerId });
  const used = Number(stats?.memory?.usageBytes?.value ?? stats?.memory?.workingSetBytes?.value ?? 0n);
  const limit = parseQuantity(limits?.memory ?? '0');
  if (limit > 0 && used > limit) {
    throw new Error(`memory limit ${limits?.memory} is below what is in use (${used} bytes)`);
  }
}
