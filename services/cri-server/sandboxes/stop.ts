/** StopPodSandbox: ends the containers, leaves the network, lets the namespaces go. Every step can be repeated. */
import { messageOf, wrapError } from '#foundation/base/errors.ts';
import type { SandboxDeps } from './deps.ts';
import { canStop, type Sandbox } from './lifecycle.ts';
import { viewOf } from './view.ts';

/**
 * Stops a sandbox; an unknown or stopped one is success.
 *
 * @throws SkiffError with the first step that failed. The sandbox is then not ready, and can be stopped again.
 */
export async function stopSandbox(deps: SandboxDeps, id: string, signal: AbortSignal): Promise<void> {
  const sandbox = deps.registry.find(id);
  if (sandbox === undefined) return;
  await deps.locks.run(sandbox.id, () => stopLocked(deps, sandbox, signal), signal);
}

/** The same for a caller that holds the sandbox's lock. */
export async function stopLocked(deps: SandboxDeps, sandbox: Sandbox, signal: AbortSignal): Promise<void> {
  if (!canStop(sandbox)) return;
  const view = viewOf(deps.run, sandbox);
  sandbox.state = { phase: 'stopping' }; // From here on nobody starts a container in it.
  try {
    await deps.containers().killAll(sandbox.id, signal);
    await deps.hooks.stop(view, signal);
    await release(deps, sandbox, signal);
  } catch (error) {
    sandbox.state = { phase: 'stopping', why: messageOf(error) };
    throw wrapError(error, `Cannot stop sandbox "${sandbox.id}"`);
  }
  sandbox.state = { phase: 'stopped' };
  sandbox.resources = { namespaces: {} };
  deps.records.put(sandbox);
  deps.emit('stopped', viewOf(deps.run, sandbox));
  deps.log.info({ sandbox: sandbox.id }, 'sandbox stopped');
}

/** Takes back all that a sandbox holds of the machine. */
export async function release(deps: SandboxDeps, sandbox: Sandbox, signal: AbortSignal): Promise<void> {
  const { network, namespaces } = sandbox.resources;
  await deps.host.stopPause(sandbox);
  await deps.pods(sandbox.handler)?.stop(sandbox.id);
  if (network !== undefined) {
    // DEL is due without a namespace too, or its address would stay taken for ever.
    const netns = deps.host.hasNetwork(sandbox) ? namespaces.network : undefined;
    await deps.network.detach(network.plan, netns, network.result, signal);
  }
  deps.host.releaseNamespaces(sandbox.id);
  deps.host.unmountShm(sandbox.id);
}
