/**
 * What start-up does with the sandboxes on disk, before anything is served: restores those that live, takes
 * away those that were half made, and lets go of the network of those that a reboot ended.
 */
import { messageOf } from '#foundation/base/errors.ts';
import type { SandboxDeps } from './deps.ts';
import type { Sandbox } from './lifecycle.ts';
import { machineLives, watchMachine } from './machine.ts';
import { release } from './stop.ts';

/** Milliseconds that releasing one dead sandbox may take. */
const releaseMs = 60_000;

/** Recovers all sandboxes; never throws for a single one, which then shows as not ready. */
export async function recoverSandboxes(deps: SandboxDeps): Promise<void> {
  const dead: Sandbox[] = [];
  for (const sandbox of deps.records.all()) {
    deps.registry.add(sandbox);
    if (sandbox.state.phase === 'preparing' || (await lostItsHold(deps, sandbox))) dead.push(sandbox);
    else watchMachine(deps, sandbox);
  }
  await Promise.all(dead.map((sandbox) => bury(deps, sandbox)));
  removeLeftovers(deps);
  await collectNetwork(deps);
}

/** After a reboot, or when somebody unmounted the pins, what a ready sandbox needs is gone. */
async function lostItsHold(deps: SandboxDeps, sandbox: Sandbox): Promise<boolean> {
  if (sandbox.state.phase !== 'ready') return false;
  return !deps.host.isWhole(sandbox) || !(await machineLives(deps, sandbox));
}

async function bury(deps: SandboxDeps, sandbox: Sandbox): Promise<void> {
  const { id } = sandbox;
  const halfMade = sandbox.state.phase === 'preparing';
  try {
    await release(deps, sandbox, AbortSignal.timeout(releaseMs));
  } catch (error) {
    sandbox.state = { phase: 'stopping', why: messageOf(error) };
    deps.records.put(sandbox);
    deps.log.warn(
      { sandbox: id, error: messageOf(error) },
      'sandbox of an earlier run is not fully released',
    );
    return;
  }
  if (halfMade) {
    deps.host.removeDirectories(id);
    deps.records.delete(id);
    deps.registry.delete(sandbox);
  } else {
    sandbox.state = { phase: 'stopped' };
    sandbox.resources = { namespaces: {} };
    deps.records.put(sandbox);
  }
  deps.log.info({ sandbox: id, halfMade }, 'sandbox of an earlier run released');
}

/** Directories and pins that no record names. */
function removeLeftovers(deps: SandboxDeps): void {
  const known = new Set(deps.registry.all().map(({ id }) => id));
  for (const id of deps.host.leftovers().filter((name) => !known.has(name))) {
    deps.host.releaseNamespaces(id);
    deps.host.unmountShm(id);
    deps.host.removeDirectories(id);
  }
}

/** Leases that no sandbox holds any more (CNI GC, for plugins that have it). */
async function collectNetwork(deps: SandboxDeps): Promise<void> {
  const held = deps.registry.all().flatMap(({ resources }) => resources.network?.plan ?? []);
  try {
    await deps.network.collect(held, AbortSignal.timeout(releaseMs));
  } catch (error) {
    deps.log.warn({ error: messageOf(error) }, 'CNI GC failed');
  }
}
