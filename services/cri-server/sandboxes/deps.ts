/** What the verbs of this folder work with. Each port has one real implementation, and fakes in the tests. */

import type { PodSandboxConfig } from '#contracts/cri/runtime_pb.ts';
import type { PodRuntime } from '#contracts/oci/pod-runtime.ts';
import type { KeyedLocks } from '#foundation/base/locks.ts';
import type { Logger } from '#foundation/base/log.ts';
import type { PodNetwork } from '../network/index.ts';
import type { SandboxContainers, SandboxNamespaces, SandboxView } from '../ports.ts';
import type { Selinux } from '../selinux/policy.ts';
import type { Sandbox } from './lifecycle.ts';
import type { NamespaceRequest } from './namespaces.ts';
import type { SandboxRecords } from './records.ts';
import type { SandboxRegistry } from './registry.ts';
import type { NamespacePlan } from './validate.ts';

/** What a sandbox takes of the machine besides its network. Releasing what is not there is success. */
export interface SandboxHost {
  makeDirectories(sandbox: Sandbox): void;
  removeDirectories(id: string): void;
  makeNamespaces(id: string, request: NamespaceRequest, signal: AbortSignal): Promise<SandboxNamespaces>;
  releaseNamespaces(id: string): void;
  /** Whether the network namespace is still pinned. */
  hasNetwork(sandbox: Sandbox): boolean;
  /** Whether all that a ready sandbox needs is there; nothing is after a reboot. */
  isWhole(sandbox: Sandbox): boolean;
  /** Host name, resolv.conf and /dev/shm. */
  makeFiles(sandbox: Sandbox, hostname: string, plan: NamespacePlan): void;
  /** /etc/hosts, when the addresses are known. */
  writeHosts(id: string, hostname: string, ips: readonly string[]): void;
  unmountShm(id: string): void;
  /** Starts the process that holds the pod's PID namespace, and pins that. */
  startPause(sandbox: Sandbox, plan: NamespacePlan, signal: AbortSignal): Promise<PauseProcess>;
  stopPause(sandbox: Sandbox): Promise<void>;
  /** Ids that directories of the run directory name: what a crash may have left. */
  leftovers(): string[];
}

/** A started pause process. */
export interface PauseProcess {
  pid: number;
  /** Tells it from a later process of the same number: `foundation/linux/process.ts`. */
  startTime: number;
  /** Pin of its PID namespace. */
  namespace: string;
}

/** What others want to do or veto when a sandbox changes (NRI). */
export interface SandboxHooks {
  run(sandbox: SandboxView, signal: AbortSignal): Promise<void>;
  /** After `run`: it could not be made after all. */
  undo(sandbox: SandboxView): Promise<void>;
  stop(sandbox: SandboxView, signal: AbortSignal): Promise<void>;
  remove(sandbox: SandboxView, signal: AbortSignal): Promise<void>;
  /** After its overhead or resources changed. */
  update(sandbox: SandboxView, signal: AbortSignal): Promise<void>;
}

/** What happened to a sandbox. */
export type SandboxEvent = 'created' | 'started' | 'stopped' | 'deleted';

/** Everything the verbs need. */
export interface SandboxDeps {
  /** The run directory: `/run/skiff`. */
  run: string;
  registry: SandboxRegistry;
  records: SandboxRecords;
  locks: KeyedLocks;
  host: SandboxHost;
  network: PodNetwork;
  /** Asked at each use: containers are wired after sandboxes. */
  containers: () => SandboxContainers;
  hooks: SandboxHooks;
  /**
   * The name of the runtime handler to use for a pod.
   *
   * @throws SkiffError NOT_FOUND for one that is not configured, FAILED_PRECONDITION for one that the pod cannot have.
   */
  resolveHandler(name: string, config: PodSandboxConfig): string;
  /** The calls for pods of a handler whose pods are machines. */
  pods(handler: string): PodRuntime | undefined;
  /** Left out on machines without. */
  selinux?: Pick<Selinux, 'freeLevel'>;
  emit(event: SandboxEvent, sandbox: SandboxView): void;
  log: Logger;
}
