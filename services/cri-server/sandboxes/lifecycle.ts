/**
 * The life of a sandbox.
 *
 * ```
 *            run                   stop                  done               remove
 * (nothing) -----> preparing ---> ready -----> stopping -----> stopped -----> removing ---> (nothing)
 *                     |                         ^    |                           |
 *                     | rolled back             |    +-- failed: asked again     +-- failed: asked again
 *                     v                         |
 *                 (nothing)   rollback failed --+
 * ```
 * Only `ready` is SANDBOX_READY. `preparing` is seen by nobody but a retry of the same request. A sandbox
 * whose rollback failed keeps its name and shows as not ready, so that the kubelet stops and removes it.
 */
import type { PodSandboxConfig } from '#contracts/cri/runtime_pb.ts';
import type { Attachment, CniResult } from '../network/index.ts';
import type { SandboxNamespaces } from '../ports.ts';

/** Where in its life a sandbox is. */
export type SandboxState =
  | { phase: 'preparing' }
  | { phase: 'ready' }
  /** `why` tells what is still held; set when an attempt to release it failed. */
  | { phase: 'stopping'; why?: string }
  | { phase: 'stopped' }
  | { phase: 'removing' };

/** What a sandbox holds of the machine. */
export interface SandboxResources {
  namespaces: SandboxNamespaces;
  /** How it is attached to the pod network; left out for host network. */
  network?: { plan: Attachment; result?: CniResult };
  /** The level of its SELinux labels, which no other pod has; left out without SELinux. */
  selinuxLevel?: string;
  /** The process that holds the PID namespace, told from a later one of the same number by its start time. */
  pause?: { pid: number; startTime: number };
}

/** A sandbox. What may change is replaced, never changed in place. */
export interface Sandbox {
  readonly id: string;
  /** As in the request; overhead and resources as last updated. */
  config: PodSandboxConfig;
  /** Never empty. */
  readonly handler: string;
  /** Nanoseconds since the epoch. */
  readonly createdAt: bigint;
  state: SandboxState;
  resources: SandboxResources;
}

/** Whether clients see it at all. */
export function canBeSeen({ state }: Sandbox): boolean {
  return state.phase !== 'preparing';
}

/** Whether containers may be made and run in it. */
export function canHoldContainers({ state }: Sandbox): boolean {
  return state.phase === 'ready';
}

/** Whether stopping it has anything left to do. */
export function canStop({ state }: Sandbox): boolean {
  return state.phase === 'ready' || state.phase === 'stopping' || state.phase === 'preparing';
}
