/** When a pod must end, and what that does to its worker. */
import { hasTerminalPhase, isDeleted } from '../pods/identity.ts';
import { effectiveGrace } from './grace.ts';
import type { WorkerUpdate } from './state.ts';
import type { Worker } from './workers.ts';

/** Deleted, over in the API, killed, removed, or known from the runtime only. */
export function mustTerminate(worker: Worker, update: WorkerUpdate): boolean {
  if (update.kind === 'kill' || worker.orphan) return true;
  if (isDeleted(update.pod)) return true;
  // What was over before this kubelet saw it is judged with the runtime's state in hand.
  return hasTerminalPhase(update.pod) && worker.state.phase === 'syncing' && worker.state.started;
}

/**
 * Moves a worker to terminating, or shortens the grace of one that is: the sync under way is interrupted when
 * that changes anything.
 *
 * @param now monotonic milliseconds.
 */
export function beginTermination(worker: Worker, update: WorkerUpdate, now: number): void {
  const { state, orphan } = worker;
  if (state.phase === 'terminated' || state.phase === 'finished') return;
  const before = state.phase === 'terminating' ? state : undefined;
  const kill = before?.kill ?? update.kill;
  const graceSeconds = effectiveGrace(update.pod, update.kill, { orphan, before: before?.graceSeconds });
  if (before !== undefined && graceSeconds === before.graceSeconds) {
    worker.state = { ...before, kill };
    return;
  }
  worker.state = { phase: 'terminating', since: before?.since ?? now, graceSeconds, kill };
  worker.controller.abort(new Error('the pod is being ended'));
}
