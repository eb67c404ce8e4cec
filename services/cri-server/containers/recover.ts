/**
 * Start-up: makes memory, disk and machine agree again after the server was killed or the machine rebooted.
 * What was acknowledged is kept, with the exit code if it ended meanwhile; what was half made or half removed
 * goes. Nothing is served before this has returned.
 */
import { readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { isRunning } from '#foundation/linux/process.ts';
import { attachName, killMonitor } from '../runtimes/conmon.ts';
import { recoverCheckpoints } from './checkpoint/checkpoint.ts';
import type { Core } from './deps.ts';
import { applyExit } from './exit.ts';
import { type ObservedExit, readExit } from './exits.ts';
import { hasProcess, isVisible } from './lifecycle.ts';
import { recoverMappedMounts } from './mapped-mounts.ts';
import { bundleOf, imageVolumeKey, removeMonitorFiles } from './places.ts';
import { releaseContainer } from './remove.ts';
import type { Container } from './table.ts';

/** Recovers all containers. Sandboxes are recovered before. */
export async function recoverContainers(core: Core): Promise<void> {
  recoverMappedMounts(core.paths);
  recoverCheckpoints(core.paths);
  for (const container of core.table.all()) {
    if (isKept(core, container)) recoverState(core, container);
    else await discard(core, container);
  }
  await core.images.recoverRoots(rootKeys(core));
  removeOrphans(core);
  // Documents of commands that ran when the server was killed.
  rmSync(join(core.paths.run, 'exec'), { recursive: true, force: true });
}

/** Kept are those that clients were told of and whose sandbox is still there. */
function isKept(core: Core, { record }: Container): boolean {
  return isVisible(record.life) && core.sandboxes.find(record.sandboxId) !== undefined;
}

function recoverState(core: Core, container: Container): void {
  const { life } = container.record;
  if (life.phase === 'restorable') return;
  if (!hasProcess(life)) {
    container.ended.resolve();
    return;
  }
  if (isRunning(life.process)) core.exits.watch(container.id, life.process);
  else applyExit(core, container, exitOf(core, container.id));
}

/** How a container ended while nobody looked. After a reboot only the copy in the bundle is left. */
function exitOf(core: Core, id: string): ObservedExit {
  const unseen = { finishedAt: BigInt(Date.now()) * 1_000_000n };
  return readExit(join(core.monitor.exits, id)) ?? readExit(join(bundleOf(core.paths, id), 'exit')) ?? unseen;
}

async function discard(core: Core, container: Container): Promise<void> {
  try {
    killMonitor(join(bundleOf(core.paths, container.id), 'conmon.pid'));
    await releaseContainer(core, container);
    core.table.remove(container.id);
  } catch (error) {
    // It stays on record, unseen by clients, and the next start tries again.
    core.log.error({ container: container.id, error }, 'a half-made container could not be removed');
  }
}

/** The roots that must be there: every container's, and its image volumes'. */
function rootKeys(core: Core): Set<string> {
  const keys = new Set<string>();
  for (const { id, record, config } of core.table.all()) {
    if (record.life.phase === 'removing') continue;
    keys.add(id);
    for (const [index, mount] of config.mounts.entries())
      if ((mount.image?.image ?? '') !== '') keys.add(imageVolumeKey(id, index));
  }
  return keys;
}

/** Bundles that no record knows of: the crash came before the record, or after its removal. */
function removeOrphans(core: Core): void {
  const known = new Set(core.table.all().map(({ id }) => id));
  for (const id of entriesOf(join(core.paths.lib, 'containers'))) {
    if (known.has(id)) continue;
    removeMonitorFiles(core.monitor, attachName(id), id);
    rmSync(bundleOf(core.paths, id), { recursive: true, force: true });
  }
}

function entriesOf(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch {
    return [];
  }
}
