/**
 * The life of a pod on this node:
 *
 * ```
 *   waiting -> syncing -> terminating -> terminated -> finished
 *                 |            ^              ^
 *                 '- deleted, terminal phase, killed, removed, or its containers are done
 *                              first seen terminal with nothing running -'
 * ```
 * A pod never goes back. A pod that comes again with the UID of one that is ending begins a new life once the
 * old one has finished.
 */
import type { Pod } from '#contracts/kubernetes/types.ts';
import type { KillHow } from '../ports.ts';

/** Waits for an earlier pod of the same name to finish: static pods only. */
export interface Waiting {
  phase: 'waiting';
}

export interface Syncing {
  phase: 'syncing';
  /** Whether SyncPod was ever begun. */
  started: boolean;
}

export interface Terminating {
  phase: 'terminating';
  /** Monotonic milliseconds. */
  since: number;
  /** Seconds; only ever made shorter. */
  graceSeconds: number;
  /** Set when somebody inside the kubelet ends the pod. */
  kill: KillHow | undefined;
}

export interface Terminated {
  phase: 'terminated';
  kill: KillHow | undefined;
}

export interface Finished {
  phase: 'finished';
}

export type WorkerState = Waiting | Syncing | Terminating | Terminated | Finished;

/** Whether containers of the pod may run or be started. */
export function mayHaveContainers(state: WorkerState): boolean {
  return state.phase === 'waiting' || state.phase === 'syncing' || state.phase === 'terminating';
}

/** Whether the pod will never run again in this life. */
export function isEnding(state: WorkerState): boolean {
  return state.phase !== 'waiting' && state.phase !== 'syncing';
}

/** What is asked of a worker. */
export interface WorkerUpdate {
  kind: 'create' | 'update' | 'sync' | 'kill';
  /** The desired pod. */
  pod: Pod;
  /** The API's picture of a static pod. */
  mirror?: Pod;
  /** For `kill`: how. Left out when the pod was removed from its source. */
  kill?: KillHow;
  /** The pod is known from the runtime only: nobody configured it. */
  orphan?: boolean;
}

/** What a sync of a pod found. */
export interface SyncResult {
  /** All its containers are done: it must be ended for good. */
  terminal: boolean;
  /** Whether the runtime was changed: then its state is looked at again at once. */
  changed: boolean;
  /** Milliseconds after which the pod should be looked at again; for back-offs. */
  againMs?: number;
}
