/** Puts the containers' inner parts together: table, locks, exit watcher. */
import { keyedLocks } from '#foundation/base/locks.ts';
import { systemClock } from '#foundation/base/time.ts';
import { attachWarmth } from '#foundation/linux/attach-warmth.ts';
import type { ContainersDeps, Core } from './deps.ts';
import { observeExit } from './exit.ts';
import { exitWatcher } from './exits.ts';
import { noHooks } from './hooks.ts';
import { ownCgroup } from './own-cgroup.ts';
import { monitorPaths } from './places.ts';
import { type ContainerRecord, recordVersion } from './record.ts';
import { defaultCdiDirectories } from './spec/cdi.ts';
import { containerTable } from './table.ts';

/** Makes the core of the verbs. Dispose its exit watcher in the end. */
export function createCore(deps: ContainersDeps): Core {
  const monitor = monitorPaths(deps.paths);
  const core: Core = {
    ...deps,
    clock: deps.clock ?? systemClock,
    hooks: deps.hooks ?? noHooks,
    cdiDirectories: deps.cdiDirectories ?? defaultCdiDirectories,
    monitor,
    table: containerTable(deps.store.records<ContainerRecord>('container', recordVersion)),
    locks: keyedLocks(),
    creating: new Map(),
    warmth: attachWarmth(deps.host.cgroups),
    ownCgroup: deps.ownCgroup ?? ownCgroup(deps.host.cgroups, deps.paths.tag),
    exits: exitWatcher({
      directory: monitor.exits,
      onExit: (id, exit) => observeExit(core, id, exit),
      ...(deps.pollMs === undefined ? {} : { pollMs: deps.pollMs }),
    }),
    emit: (event, container) => deps.onEvent?.(event, container),
  };
  return core;
}
