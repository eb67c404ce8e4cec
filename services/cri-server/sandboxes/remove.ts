/** RemovePodSandbox: stops it if need be, removes its containers, then forgets it; its name is free last. */
import { wrapError } from '#foundation/base/errors.ts';
import type { SandboxDeps } from './deps.ts';
import type { Sandbox } from './lifecycle.ts';
import { stopLocked } from './stop.ts';
import { viewOf } from './view.ts';

/** Removes a sandbox; an unknown one is success. @throws SkiffError; the sandbox can be removed again then. */
export async function removeSandbox(deps: SandboxDeps, id: string, signal: AbortSignal): Promise<void> {
  const sandbox = deps.registry.find(id);
  if (sandbox === undefined) return;
  await deps.locks.run(sandbox.id, () => removeLocked(deps, sandbox, signal), signal);
}

async function removeLocked(deps: SandboxDeps, sandbox: Sandbox, signal: AbortSignal): Promise<void> {
  if (deps.registry.find(sandbox.id) !== sandbox) return; // Another call removed it while this one waited.
  await stopLocked(deps, sandbox, signal);
  try {
    await deps.containers().removeAll(sandbox.id, signal);
    await deps.hooks.remove(viewOf(deps.run, sandbox), signal);
    sandbox.state = { phase: 'removing' };
    deps.host.removeDirectories(sandbox.id);
    // While it can still be found: the event carries the pod's last status.
    deps.emit('deleted', viewOf(deps.run, sandbox));
    deps.records.delete(sandbox.id);
  } catch (error) {
    throw wrapError(error, `Cannot remove sandbox "${sandbox.id}"`);
  }
  deps.registry.delete(sandbox);
  deps.log.info({ sandbox: sandbox.id }, 'sandbox removed');
}
