/**
 * Sandboxes that are machines of their own: made after the network, which they take over, and ended before it. One that
 * ends by itself makes its sandbox not ready, so that the kubelet stops it and makes another.
 */
import type { PodSandboxConfig } from '#contracts/cri/runtime_pb.ts';
import type { PodMachineLimits } from '#contracts/oci/pod-runtime.ts';
import { messageOf, wrapError } from '#foundation/base/errors.ts';
import type { UndoStack } from '#foundation/base/undo.ts';
import type { SandboxDeps } from './deps.ts';
import type { Sandbox } from './lifecycle.ts';
import { sysctlsOf } from './sysctls.ts';
import { type NamespacePlan, namespacePlan } from './validate.ts';
import { viewOf } from './view.ts';

/** Why a pod cannot be a machine; undefined if it can. */
export function needsHost(config: PodSandboxConfig): string | undefined {
  const plan = namespacePlan(config);
  if (config.linux?.securityContext?.privileged === true) return 'it is privileged';
  if (plan.hostNetwork) return "it uses the host's network";
  if (plan.hostPid) return "it uses the host's PID namespace";
  if (plan.hostIpc) return "it uses the host's IPC namespace";
  if (plan.user !== undefined) return 'it has a user namespace, whose ids are of the host';
  return undefined;
}

/** Makes the machine of a sandbox whose network is attached. */
export async function startMachine(
  deps: SandboxDeps,
  sandbox: Sandbox,
  plan: NamespacePlan,
  hostname: string,
  signal: AbortSignal,
  undo: UndoStack,
): Promise<void> {
  const pods = deps.pods(sandbox.handler);
  const { id, config, resources } = sandbox;
  const { network } = resources.namespaces;
  undo.defer('VM', () => pods?.stop(id));
  await pods?.start(
    {
      id,
      hostname,
      ...(network === undefined ? {} : { netns: network }),
      cgroupParent: config.linux?.cgroupParent ?? '',
      sysctls: Object.fromEntries(sysctlsOf(config, plan)),
      sharedPid: plan.sharedPid,
      ...limitsOf(config),
    },
    signal,
  );
}

/** What the size of a sandbox's machine follows. */
function limitsOf({ linux }: PodSandboxConfig): PodMachineLimits {
  const { resources, overhead } = linux ?? {};
  return {
    limits: {
      memory: Number(resources?.memoryLimitInBytes ?? 0),
      cpuQuota: Number(resources?.cpuQuota ?? 0),
      cpuPeriod: Number(resources?.cpuPeriod ?? 0),
    },
    overheadMemory: Number(overhead?.memoryLimitInBytes ?? 0),
  };
}

/** Gives the machine of a sandbox, if it is one, the size of a new configuration. @throws SkiffError OUT_OF_RANGE. */
export async function resizeMachine(
  deps: SandboxDeps,
  { id, handler }: Sandbox,
  config: PodSandboxConfig,
): Promise<void> {
  try {
    await deps.pods(handler)?.resize(id, limitsOf(config));
  } catch (error) {
    throw wrapError(error, `Cannot change the size of the VM of sandbox "${id}"`);
  }
}

/** Whether the machine of a ready sandbox is there; true for one that has none. */
export async function machineLives(deps: SandboxDeps, { id, handler }: Sandbox): Promise<boolean> {
  try {
    return (await deps.pods(handler)?.alive(id)) ?? true;
  } catch (error) {
    deps.log.warn({ sandbox: id, error: messageOf(error) }, 'the VM of a sandbox could not be asked for');
    return false;
  }
}

/** From now on the end of a ready sandbox's machine is noted. */
export function watchMachine(deps: SandboxDeps, sandbox: Sandbox): void {
  if (sandbox.state.phase !== 'ready') return;
  deps.pods(sandbox.handler)?.watch(sandbox.id, (reason) => {
    if (sandbox.state.phase !== 'ready') return;
    sandbox.state = { phase: 'stopping', why: reason };
    deps.records.put(sandbox);
    deps.emit('stopped', viewOf(deps.run, sandbox));
    deps.log.warn({ sandbox: sandbox.id, reason }, 'the VM of a sandbox has ended');
  });
}
