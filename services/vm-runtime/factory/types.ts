/**
 * Where pod VMs come from. `direct` boots each; `cache` keeps some booted and waiting; `template` clones a saved one.
 * All give the same: a VM whose agent answers, with its share mounted in the guest.
 *
 * Templates and waiting VMs are on disk below one directory, so that any process (each pod has a supervisor of its
 * own) can take one, and so that start-up finds what a crash left.
 */
import type { AgentClient } from '../agent-client/types.ts';
import type { Vm } from '../hypervisor/types.ts';
import type { CarriedNetwork } from '../network/types.ts';
import type { Share } from '../storage/types.ts';

export type FactoryKind = 'direct' | 'cache' | 'template';

/** The VM that a pod wants. */
export interface PodVmRequest {
  /** Letters, digits and dashes. */
  id: string;
  /** The VM's own directory, made here: short, since unix sockets are in it. */
  directory: string;
  vcpus: number;
  memoryBytes: number;
  /** Path of the pod's network namespace; its interfaces are carried into the guest. None: only loopback there. */
  netns?: string;
  /** `virtiofs`: a share, mounted in the guest at /run/share. `block`: none; roots are disks, memory is copy-on-write. */
  sharing: 'virtiofs' | 'block';
  /** A cgroup of the host that exists; VM and file server are in it. */
  cgroup?: string;
  /** Milliseconds until the agent must answer; 20,000 unless told. */
  deadlineMs?: number;
  signal?: AbortSignal;
}

/** A VM with what belongs to it. */
export interface PodVm {
  vm: Vm;
  agent: AgentClient;
  /** Undefined with `sharing: 'block'`. */
  share: Share | undefined;
  /** What was carried; the guest has it already. Its taps are closed on our side. */
  network: CarriedNetwork | undefined;
  origin: FactoryKind;
}

/** Gives VMs. */
export interface VmFactory {
  readonly kind: FactoryKind;
  /**
   * A VM whose agent answers, whose share is mounted, whose network is that of the namespace, and whose clock, random
   * state and machine id are its own. What the factory has not ready is booted directly. Nothing is left if it fails.
   *
   * @throws SkiffError DEADLINE_EXCEEDED for a guest that does not answer in time; whatever the hypervisor says.
   */
  acquire(request: PodVmRequest): Promise<PodVm>;
  /**
   * Finds a pod's VM again after its supervisor has died: VM, agent and share of `directory`.
   *
   * @throws SkiffError NOT_FOUND if VM or file server is gone; `release` cleans up then.
   */
  reattach(directory: string, signal?: AbortSignal): Promise<PodVm>;
  /** Ends VM and file server of a directory, whoever started them, and removes all that is left. Idempotent. */
  release(directory: string, netns?: string): Promise<void>;
  /** Makes ready what is missing (templates, waiting VMs). Resolves when done; one at a time for each directory. */
  refill(signal?: AbortSignal): Promise<void>;
  /** Ends waiting VMs and removes templates. Pods' VMs go on. Idempotent. */
  drain(): Promise<void>;
}
