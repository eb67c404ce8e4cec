/** Makes a pod's sandbox, or describes the one it has. */
import { mkdirSync } from 'node:fs';
import type { Pod } from '#contracts/kubernetes/types.ts';
import { messageOf, SkiffError, wrapError } from '#foundation/base/errors.ts';
import { specOf, title, uidOf } from '../pods/identity.ts';
import type { RuntimeManagerDeps } from './deps.ts';
import { logDirectory, sandboxLabels } from './labels.ts';
import type { RuntimePodStatus } from './model.ts';
import { toSandboxRecord } from './pod-status.ts';
import type { SandboxInUse } from './sandbox-in-use.ts';

/**
 * Makes and starts a sandbox.
 *
 * @throws SkiffError; the event FailedCreatePodSandBox is recorded.
 */
export async function createSandbox(
  deps: RuntimeManagerDeps,
  pod: Pod,
  attempt: number,
  signal: AbortSignal,
): Promise<SandboxInUse> {
  try {
    const { config, runtimeHandler } = await configFor(deps, pod, attempt);
    mkdirSync(config.logDirectory, { recursive: true, mode: 0o755 });
    const { podSandboxId: id } = await deps.runtime.runPodSandbox({ config, runtimeHandler }, { signal });
    const { status } = await deps.runtime.podSandboxStatus({ podSandboxId: id }, { signal });
    const ips = status === undefined ? [] : toSandboxRecord(status).ips;
    if (ips.length === 0 && specOf(pod).hostNetwork !== true) {
      // Its containers would be killed at the next sync; made anew at once it would go on for ever.
      throw new SkiffError('UNAVAILABLE', `sandbox "${id}" has no address`);
    }
    const sandbox = { id, config, runtimeHandler, ips };
    deps.sandboxes.set(uidOf(pod), sandbox);
    deps.counters.podStarted();
    return sandbox;
  } catch (error) {
    if (!signal.aborted) {
      deps.counters.podFailed();
      const message = `Failed to create pod sandbox: ${messageOf(error)}`;
      deps.events.pod(pod, 'Warning', 'FailedCreatePodSandBox', message);
    }
    throw wrapError(error, `Cannot create the sandbox of pod ${title(pod)}`);
  }
}

/** The config a sandbox was, or would be, made from. */
function configFor(deps: RuntimeManagerDeps, pod: Pod, attempt: number) {
  return deps.builder.sandboxConfig(pod, {
    attempt,
    labels: sandboxLabels(pod),
    annotations: { ...pod.metadata?.annotations },
    logDirectory: logDirectory(deps.podLogs, pod),
  });
}

/** The sandbox a pod has already. */
export async function sandboxInUse(
  deps: RuntimeManagerDeps,
  pod: Pod,
  status: RuntimePodStatus,
): Promise<SandboxInUse> {
  const record = status.sandboxes[0];
  if (record === undefined)
    throw new SkiffError('INTERNAL', `Pod ${title(pod)} has no sandbox to start containers in`);
  const known = deps.sandboxes.get(uidOf(pod));
  if (known?.id === record.id) return known;
  // Made before the kubelet was restarted.
  const { config } = await configFor(deps, pod, record.attempt);
  const { runtimeHandler } = record;
  const sandbox = { id: record.id, config, runtimeHandler, ips: status.ips };
  deps.sandboxes.set(uidOf(pod), sandbox);
  return sandbox;
}
