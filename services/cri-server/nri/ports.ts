/** What NRI needs of the rest of the CRI server, and what it offers to sandboxes and containers. */
import type { RuntimeSpec, SpecResources } from '#contracts/oci/runtime.ts';
import type { Logger } from '#foundation/base/log.ts';
import type { Spawner } from '#foundation/linux/spawn.ts';
import type { SandboxView } from '../ports.ts';

/** A container as plugins are told of it. */
export interface NriContainer {
  id: string;
  sandboxId: string;
  name: string;
  labels: Readonly<Record<string, string>>;
  /** Kubernetes' annotations and the spec's together. */
  annotations: Readonly<Record<string, string>>;
  /** Names of CDI devices in its config. */
  cdiDevices: readonly string[];
  image: { name: string; digest: string; configDigest: string };
  state: 'created' | 'running' | 'stopped';
  /** 0 without a process. */
  pid: number;
  /** Nanoseconds since the epoch; 0 for not yet. */
  createdAt: bigint;
  startedAt: bigint;
  finishedAt: bigint;
  exitCode: number;
  reason: string;
  message: string;
  /** Its config.json; undefined if that is gone. */
  spec: RuntimeSpec | undefined;
}

/** Where plugins are found, and how long they may take. */
export interface NriSettings {
  /** Whether plugins take part at all. */
  enabled: boolean;
  /** The socket where plugins register: `/var/run/nri/nri.sock`. */
  socket: string;
  /** Plugins to start, named `<two digits>-<name>`: `/opt/nri/plugins`. */
  pluginDirectory: string;
  /** Their configuration: `<two digits>-<name>.conf` or `<name>.conf` in `/etc/nri/conf.d`. */
  configDirectory: string;
  /** Milliseconds from connecting to RegisterPlugin; 5,000 by the protocol's custom. */
  registrationTimeoutMs: number;
  /** Milliseconds for an answer; 2,000 by the protocol's custom. */
  requestTimeoutMs: number;
}

/** What NRI is wired with. */
export interface NriDeps {
  settings: NriSettings;
  /** Skiff's version. */
  version: string;
  spawner: Spawner;
  log: Logger;
  sandboxes: { find(id: string): SandboxView | undefined; list(): SandboxView[] };
  containers: NriContainers;
  /** Whether a memory limit must set the limit of memory and swap too: cgroup version 1 counts both. */
  swapLimits: boolean;
  /** The nearest score that this process may set. */
  clampOomScore(score: number): number;
}

/** What NRI does with containers. */
export interface NriContainers {
  /** Those with a process, waiting or running. */
  live(): NriContainer[];
  /** Changes limits of a container. @throws SkiffError if there is none, or it has no process. */
  update(id: string, resources: SpecResources): Promise<void>;
  /** Stops a container with its usual grace. */
  evict(id: string, reason: string): Promise<void>;
  /** Adds CDI devices. @throws SkiffError NOT_FOUND if one is in no spec. */
  injectCdi(spec: RuntimeSpec, names: readonly string[]): RuntimeSpec;
}

/** Called by sandboxes; what `run` throws undoes the sandbox. */
export interface NriSandboxHooks {
  run(sandbox: SandboxView, signal: AbortSignal): Promise<void>;
  stop(sandbox: SandboxView, signal: AbortSignal): Promise<void>;
  remove(sandbox: SandboxView, signal: AbortSignal): Promise<void>;
  update(sandbox: SandboxView, signal: AbortSignal): Promise<void>;
  /** A sandbox that was told of and could not be made after all; never throws. */
  undo(sandbox: SandboxView): Promise<void>;
}

/** Called by containers. Those that come before a change may throw, which undoes it; the others only log. */
export interface NriContainerHooks {
  /** Before it is made. @returns its spec with all plugins' adjustments. */
  create(container: NriContainer, spec: RuntimeSpec): Promise<RuntimeSpec>;
  /** It could not be made after all. */
  undoCreate(container: NriContainer): Promise<void>;
  created(container: NriContainer): Promise<void>;
  start(container: NriContainer): Promise<void>;
  started(container: NriContainer): Promise<void>;
  /** Before limits change. @returns the limits to set, and what is to be done once the container's lock is free. */
  update(
    container: NriContainer,
    resources: SpecResources,
  ): Promise<{ resources: SpecResources; after(): Promise<void> }>;
  updated(container: NriContainer): Promise<void>;
  /** Its process ended, whoever ended it. */
  stopped(container: NriContainer): Promise<void>;
  removed(container: NriContainer): Promise<void>;
}
