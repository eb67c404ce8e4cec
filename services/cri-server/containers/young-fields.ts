/**
 * What config.json can say since OCI 1.1 (`ioPriority`, `scheduler`) and 1.3 (`netDevices`), and the runtimes of today's
 * distributions pass over without a word. Skiff does it itself, so that it holds with every runtime: interfaces move
 * before the container is made, and its process is scheduled while it waits for its start.
 */
import type { ProcessSpec, RuntimeSpec } from '#contracts/oci/runtime.ts';
import type { RuntimeDriver } from '#contracts/oci/runtime-driver.ts';
import { SkiffError } from '#foundation/base/errors.ts';
import type { UndoStack } from '#foundation/base/undo.ts';
import { moveLink } from '#foundation/linux/move-link.ts';
import {
  type IoPriority,
  type SchedulerChoice,
  setIoPriority,
  setScheduler,
} from '#foundation/linux/scheduling.ts';
import type { SandboxView } from '../ports.ts';

/**
 * Moves the interfaces of a spec into the pod; they end, or come back, with the pod's network namespace.
 *
 * @returns the spec without them: a runtime that knows the field would look for them where they are no more.
 * @throws SkiffError UNIMPLEMENTED for a VM, FAILED_PRECONDITION on the host's network, NOT_FOUND, ALREADY_EXISTS.
 */
export function moveNetDevices(
  { pods }: Pick<RuntimeDriver, 'pods'>,
  { namespaces }: Pick<SandboxView, 'namespaces'>,
  spec: RuntimeSpec,
  undo: UndoStack,
): RuntimeSpec {
  const { netDevices = {}, ...linux } = spec.linux;
  const wanted = Object.entries(netDevices);
  if (pods !== undefined) refuseInMachine(spec, wanted.length > 0);
  if (wanted.length === 0) return spec;
  if (namespaces.network === undefined)
    throw new SkiffError(
      'FAILED_PRECONDITION',
      `the network device "${wanted[0]?.[0]}" cannot be moved: the pod is on the host's network`,
    );
  for (const [name, { name: newName = name }] of wanted) {
    const takeBack = moveLink({ name, newName, netns: namespaces.network });
    undo.defer(`take the network device ${name} back`, takeBack);
  }
  return { ...spec, linux };
}

function refuseInMachine({ process }: RuntimeSpec, devices: boolean): void {
  const { ioPriority, scheduler } = process;
  const found = devices ? 'netDevices' : ioPriority ? 'ioPriority' : scheduler ? 'scheduler' : undefined;
  if (found === undefined) return;
  throw new SkiffError('UNIMPLEMENTED', `${found} of a container in a VM cannot be set; leave it out there`);
}

/** Schedules the process of a created container as its document says. @throws SkiffError with the kernel's reason. */
export function scheduleProcess(pid: number, { ioPriority, scheduler }: ProcessSpec): void {
  // The kernel refuses names that it does not know: they become numbers that it does not know.
  if (ioPriority !== undefined) setIoPriority(pid, ioPriority as IoPriority);
  if (scheduler !== undefined) setScheduler(pid, scheduler as SchedulerChoice);
}
