/** What the containers part needs, and what its verbs work with. */

import type { MonitorPaths, RuntimeDriver } from '#contracts/oci/runtime-driver.ts';
import type { KeyedLocks } from '#foundation/base/locks.ts';
import type { Logger } from '#foundation/base/log.ts';
import type { Paths } from '#foundation/base/paths.ts';
import type { Clock } from '#foundation/base/time.ts';
import type { AttachWarmth } from '#foundation/linux/attach-warmth.ts';
import type { Spawner } from '#foundation/linux/spawn.ts';
import type { ImageSource, Sandboxes } from '../ports.ts';
import type { Selinux } from '../selinux/policy.ts';
import type { Store } from '../store/store.ts';
import type { ExitWatcher } from './exits.ts';
import type { ContainerHooks } from './hooks.ts';
import type { OwnCgroup } from './own-cgroup.ts';
import type { HostFacts } from './spec/host.ts';
import type { Container, ContainerTable } from './table.ts';

/** The OCI runtimes by handler name. */
export interface RuntimeTable {
  /** @throws SkiffError NOT_FOUND if there is no such handler, or it does not work here. */
  driver(handler: string): RuntimeDriver;
}

/** What happened to a container. */
export type ContainerEvent = 'created' | 'started' | 'stopped' | 'deleted';

/** What is wired from outside. */
export interface ContainersDeps {
  store: Store;
  paths: Pick<Paths, 'lib' | 'run' | 'tag'>;
  images: ImageSource;
  sandboxes: Sandboxes;
  runtimes: RuntimeTable;
  spawner: Spawner;
  host: HostFacts;
  log: Logger;
  clock?: Clock;
  /** Told of each event, in order; must not throw. */
  onEvent?: (event: ContainerEvent, container: Container) => void;
  /** Asked and told when containers change; nobody unless told. */
  hooks?: ContainerHooks;
  /** Left out on machines without. */
  selinux?: Pick<Selinux, 'labels'>;
  /** Shared with whoever else puts containers there; one of its own unless told. */
  ownCgroup?: OwnCgroup;
  /** Where CDI specs lie; `/etc/cdi` and `/var/run/cdi` unless told. */
  cdiDirectories?: readonly string[];
  /** Milliseconds between looks at processes whose exit nobody reported; 2,000 unless told. */
  pollMs?: number;
}

/** What every verb gets. */
export interface Core extends Omit<ContainersDeps, 'onEvent' | 'clock' | 'cdiDirectories' | 'hooks'> {
  hooks: ContainerHooks;
  clock: Clock;
  table: ContainerTable;
  locks: KeyedLocks;
  exits: ExitWatcher;
  monitor: MonitorPaths;
  cdiDirectories: readonly string[];
  /** Creations under way, by reserved name. */
  creating: Map<string, { sandboxId: string; id: Promise<string> }>;
  /** Held while a runtime is about to move a process into a container's cgroup. */
  warmth: AttachWarmth;
  ownCgroup: OwnCgroup;
  emit(event: ContainerEvent, container: Container): void;
}
