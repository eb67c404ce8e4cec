/**
 * The life of a container.
 *
 * ```
 *  creating --> created --> running --> exited --> removing --> (gone)
 *      |           |                      ^           ^
 *      v           +----------------------+           |
 *   (gone)         |   its process died,              |
 *                  |   or start failed                |
 *                  +----------------------------------+
 * ```
 * `restorable` is a container that was made of a checkpoint, before its start: it is created for clients, and has no
 * process yet. `creating` and `removing` are never shown to clients: a restart of the server takes the first back and
 * finishes the second.
 */
import { ContainerState } from '#contracts/cri/runtime_pb.ts';
import type { ProcessIdentity } from '#foundation/linux/process.ts';

/** Where a container is in its life. Times are nanoseconds since the epoch. */
export type Lifecycle =
  | { phase: 'creating' }
  | { phase: 'created'; process: ProcessIdentity }
  | { phase: 'restorable' }
  | { phase: 'running'; process: ProcessIdentity; startedAt: bigint }
  | Exited
  | { phase: 'removing'; exited?: Exited };

/** A container whose process has ended. */
export interface Exited {
  phase: 'exited';
  /** 0 if it was never started. */
  startedAt: bigint;
  finishedAt: bigint;
  /** 128 + signal number if a signal ended it, 255 if nobody saw how it ended. */
  exitCode: number;
  reason: ExitReason;
  message: string;
}

/** The CRI's words for why a container ended; clients compare them. */
export type ExitReason = 'Completed' | 'Error' | 'OOMKilled' | 'StartError' | 'Unknown';

/** Whether StartContainer may be called. */
export function canStart(life: Lifecycle): life is Lifecycle & { phase: 'created' | 'restorable' } {
  return life.phase === 'created' || life.phase === 'restorable';
}

/** Whether commands can run in it and its log can be reopened. */
export function isRunning(life: Lifecycle): life is Lifecycle & { phase: 'running' } {
  return life.phase === 'running';
}

/** Whether it has a process, waiting or running. */
export function hasProcess(life: Lifecycle): life is Lifecycle & { process: ProcessIdentity } {
  return life.phase === 'created' || life.phase === 'running';
}

/** Whether limits can be changed. */
export function canUpdate(life: Lifecycle): boolean {
  return hasProcess(life);
}

/** Whether clients see it. */
export function isVisible(life: Lifecycle): boolean {
  return life.phase !== 'creating' && life.phase !== 'removing';
}

/** The CRI's state. */
export function criState(life: Lifecycle): ContainerState {
  switch (life.phase) {
    case 'created':
    case 'restorable':
      return ContainerState.CONTAINER_CREATED;
    case 'running':
      return ContainerState.CONTAINER_RUNNING;
    case 'exited':
      return ContainerState.CONTAINER_EXITED;
    default:
      return ContainerState.CONTAINER_UNKNOWN;
  }
}
