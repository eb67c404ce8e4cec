/**
 * Carries out resizes (KEP-1287): the pod's cgroup grows before its containers do, and shrinks after them, for the
 * kernel takes no child that is larger than its parent. Only when all is done counts a container as resized, so that
 * what a crash or a failure interrupts is done again.
 */
import { parseQuantity } from '#contracts/kubernetes/quantity.ts';
import type { Pod } from '#contracts/kubernetes/types.ts';
import { messageOf, SkiffError } from '#foundation/base/errors.ts';
import { podLevel } from '../pods/allocation.ts';
import { allContainers } from '../pods/containers.ts';
import { uidOf } from '../pods/identity.ts';
import type { Running } from './actions.ts';
import type { RuntimeManagerDeps } from './deps.ts';
import { isPodResized } from './resize-decision.ts';

/** What came of it: undefined when all went well. */
export type ResizeFailure = string | undefined;

/**
 * Gives running containers their granted resources. A memory limit is never set below what is in use: the kernel
 * would kill.
 *
 * @param restarts whether containers that are about to be started get other resources than they had.
 * @returns why not all could be resized.
 */
export async function applyResizes(
  deps: RuntimeManagerDeps,
  pod: Pod,
  resizes: readonly Running[],
  restarts: boolean,
): Promise<ResizeFailure> {
  const whole = isPodResized(pod, deps.actuated);
  if (resizes.length === 0 && !restarts && !whole) return undefined;
  const failures: string[] = [];
  const attempt = async (what: string, work: () => Promise<void>) => {
    try {
      await work();
      return true;
    } catch (error) {
      failures.push(`${what}: ${messageOf(error)}`);
      return false;
    }
  };
  const grown = await attempt('pod', async () => {
    if (whole) refusePodBelowUsage(deps, pod);
    await deps.resources.updatePodCgroup(pod, 'grow');
  });
  const done: Running[] = [];
  for (const running of grown ? resizes : [])
    if (await attempt(`container ${running.container.name}`, () => resizeOne(deps, pod, running)))
      done.push(running);
  const isWhole = failures.length === 0;
  const settled = !isWhole || (await attempt('pod', () => deps.resources.updatePodCgroup(pod, 'exact')));
  for (const { container } of settled ? done : [])
    deps.actuated.setActuated(uidOf(pod), container.name, container.resources);
  if (whole && failures.length === 0) deps.actuated.setActuated(uidOf(pod), podLevel, pod.spec.resources);
  tell(deps, pod, failures);
  return failures.length === 0 ? undefined : failures.join('; ');
}

async function resizeOne(deps: RuntimeManagerDeps, pod: Pod, { container, record }: Running): Promise<void> {
  const limits = container.resources?.limits;
  if (shrinksMemory(deps, pod, container.name, limits)) await refuseBelowUsage(deps, record.id, limits);
  const linux = deps.linuxResources(pod, container);
  await deps.runtime.updateContainerResources({ containerId: record.id, linux });
}

function tell({ events }: RuntimeManagerDeps, pod: Pod, failures: readonly string[]): void {
  const details = resizeDetails(pod);
  if (failures.length === 0) events.pod(pod, 'Normal', 'ResizeCompleted', `Pod resize completed: ${details}`);
  else events.pod(pod, 'Warning', 'ResizeError', `Pod resize error: ${details}: ${failures.join('; ')}`);
}

/** What a pod's containers get, as events show it. */
export function resizeDetails(pod: Pod): string {
  const containers = allContainers(pod).map(({ name, resources }) => ({ name, resources }));
  const { resources } = pod.spec;
  return JSON.stringify({ containers, podResources: resources, generation: pod.metadata.generation });
}

/** @throws SkiffError FAILED_PRECONDITION when the pod uses more memory than its new limit. */
function refusePodBelowUsage({ resources, actuated }: RuntimeManagerDeps, pod: Pod): void {
  const memory = pod.spec.resources?.limits?.memory;
  const before = actuated.actuated(uidOf(pod), podLevel)?.limits?.memory;
  if (memory === undefined || (before !== undefined && parseQuantity(memory) >= parseQuantity(before)))
    return;
  const used = resources.memoryUsage(uidOf(pod)) ?? 0;
  if (used > parseQuantity(memory))
    throw new SkiffError(
      'FAILED_PRECONDITION',
      `memory limit ${memory} is below what is in use (${used} bytes)`,
    );
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

/** @throws SkiffError FAILED_PRECONDITION when the container uses more memory than its new limit. */
async function refuseBelowUsage(
  { runtime }: RuntimeManagerDeps,
  containerId: string,
  limits: Record<string, string> | undefined,
): Promise<void> {
  const { stats } = await runtime.containerStats({ containerId });
  const used = Number(stats?.memory?.usageBytes?.value ?? stats?.memory?.workingSetBytes?.value ?? 0n);
  const limit = parseQuantity(limits?.memory ?? '0');
  if (limit > 0 && used > limit) {
    throw new SkiffError(
      'FAILED_PRECONDITION',
      `memory limit ${limits?.memory} is below what is in use (${used} bytes)`,
    );
  }
}
