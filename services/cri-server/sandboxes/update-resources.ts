/**
 * UpdatePodSandboxResources: the kubelet tells what it has set on the pod's cgroup. Skiff changes nothing there,
 * but remembers it, across restarts too, and passes it on. A pod that is a VM gets its size, or is told why not.
 */
import { clone, create } from '@bufbuild/protobuf';
import {
  LinuxPodSandboxConfigSchema,
  PodSandboxConfigSchema,
  type UpdatePodSandboxResourcesRequest,
} from '#contracts/cri/runtime_pb.ts';
import { SkiffError } from '#foundation/base/errors.ts';
import type { SandboxDeps } from './deps.ts';
import type { Sandbox } from './lifecycle.ts';
import { resizeMachine } from './machine.ts';
import { viewOf } from './view.ts';

/**
 * Remembers the overhead and resources of a sandbox.
 *
 * @throws SkiffError NOT_FOUND; FAILED_PRECONDITION if it is not ready; OUT_OF_RANGE for more than its VM has.
 */
export async function updateResources(
  deps: SandboxDeps,
  request: UpdatePodSandboxResourcesRequest,
  signal: AbortSignal,
): Promise<void> {
  const id = request.podSandboxId;
  const sandbox = deps.registry.find(id);
  if (sandbox === undefined) throw new SkiffError('NOT_FOUND', `No sandbox has the id "${id}"`);
  await deps.locks.run(sandbox.id, () => updateLocked(deps, sandbox, request, signal), signal);
}

async function updateLocked(
  deps: SandboxDeps,
  sandbox: Sandbox,
  { overhead, resources }: UpdatePodSandboxResourcesRequest,
  signal: AbortSignal,
): Promise<void> {
  if (sandbox.state.phase !== 'ready')
    throw new SkiffError(
      'FAILED_PRECONDITION',
      `Sandbox "${sandbox.id}" is ${sandbox.state.phase}; it has no resources`,
    );
  const config = clone(PodSandboxConfigSchema, sandbox.config);
  config.linux ??= create(LinuxPodSandboxConfigSchema);
  config.linux.overhead = overhead ?? config.linux.overhead;
  config.linux.resources = resources ?? config.linux.resources;
  await resizeMachine(deps, sandbox, config);
  deps.records.put({ ...sandbox, config });
  sandbox.config = config;
  await deps.hooks.update(viewOf(deps.run, sandbox), signal);
}
