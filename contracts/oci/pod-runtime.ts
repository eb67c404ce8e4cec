/**
 * What a runtime does for whole pods, where a pod is more to it than namespaces: a virtual machine. A driver of such a
 * runtime has this beside the calls for containers; whoever makes sandboxes asks for it.
 */
import type { Duplex } from 'node:stream';

/** A pod's machine to make. */
export interface PodMachine {
  /** The sandbox's id, which containers name in their annotations. */
  id: string;
  hostname: string;
  /** The pinned network namespace whose interfaces the machine takes over. */
  netns?: string;
  /** The pod's own cgroup (`/kubepods/pod1`); empty for none. */
  cgroupParent: string;
  /** Names with dots. */
  sysctls: Readonly<Record<string, string>>;
  /** Containers share a PID namespace. */
  sharedPid: boolean;
  /** The pod's limits; 0 for none. Bytes, microseconds. */
  limits: { memory: number; cpuQuota: number; cpuPeriod: number };
  /** Bytes that the RuntimeClass gives the machine beside its containers; 0 for the runtime's own default. */
  overheadMemory: number;
}

/** What a pod's machine is sized by. */
export type PodMachineLimits = Pick<PodMachine, 'limits' | 'overheadMemory'>;

/** What a container uses inside of its machine. Nanoseconds, bytes, counts. */
export interface MachineUsage {
  cpu: bigint;
  cpuUser: bigint;
  cpuSystem: bigint;
  throttledPeriods: bigint;
  throttled: bigint;
  memory: bigint;
  workingSet: bigint;
  rss: bigint;
  /** 0 for no limit. */
  memoryLimit: bigint;
  swap: bigint;
  pageFaults: bigint;
  majorPageFaults: bigint;
  oomKills: bigint;
  processes: bigint;
  /** 0 for no limit. */
  processLimit: bigint;
}

/** The calls for pods. */
export interface PodRuntime {
  /** The path by which containers name the PID namespace that their pod shares. */
  readonly sharedPidPath: string;
  /**
   * Makes the machine of a pod and waits until it is up and has its network. Nothing is left if it fails.
   *
   * @throws SkiffError with why it did not come up.
   */
  start(machine: PodMachine, signal: AbortSignal): Promise<void>;
  /**
   * Changes the size of a machine that runs, for new limits of its pod.
   *
   * @throws SkiffError OUT_OF_RANGE for more than it was made with: the pod must be made anew.
   */
  resize(id: string, limits: PodMachineLimits): Promise<void>;
  /** Ends a machine with all that is in it; one that is not there is success. */
  stop(id: string): Promise<void>;
  /** Whether the machine runs, also after this process was started anew. */
  alive(id: string): Promise<boolean>;
  /** Calls `ended` once if the machine ends by itself; not after `stop`. */
  watch(id: string, ended: (reason: string) => void): void;
  /** A connection to a port of the pod's own `localhost`. @throws SkiffError UNAVAILABLE if it is refused. */
  dial(id: string, port: number): Promise<Duplex>;
  /** What a running container uses; undefined if it does not run. */
  usage(containerId: string): Promise<MachineUsage | undefined>;
  /** Whether a container that has ended did so for want of memory. */
  oomKilled(containerId: string): boolean;
  /** Lets go of connections, and takes away machines that wait for a pod; those of pods live on. */
  close(): Promise<void>;
}
