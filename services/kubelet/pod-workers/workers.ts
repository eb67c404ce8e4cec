/**
 * One serial worker per pod UID. A worker has one slot for what comes next, in which the newest wins; it syncs
 * with a state of the runtime that is newer than its last action; a pod that must end interrupts its sync.
 */
import type { Pod } from '#contracts/kubernetes/types.ts';
import { messageOf } from '#foundation/base/errors.ts';
import type { Logger } from '#foundation/base/log.ts';
import type { Clock } from '#foundation/base/time.ts';
import { fullName, isStatic, title, uidOf } from '../pods/identity.ts';
import type { KillHow } from '../ports.ts';
import type { RuntimePodStatus } from '../runtime-manager/model.ts';
import { beginTermination, mustTerminate } from './begin-termination.ts';
import { type RequeueTimes, requeueDelay } from './requeue.ts';
import { isEnding, type SyncResult, type WorkerState, type WorkerUpdate } from './state.ts';

/** What a worker does; the sync loop implements it. */
export interface PodSyncer {
  sync(update: WorkerUpdate, status: RuntimePodStatus, signal: AbortSignal): Promise<SyncResult>;
  /** Ends the containers; returns when none runs. */
  terminate(
    pod: Pod,
    status: RuntimePodStatus,
    how: { graceSeconds: number; kill?: KillHow; orphan: boolean },
    signal: AbortSignal,
  ): Promise<void>;
  /** Releases what the pod had: volumes, cgroup, its place in the API. */
  finish(pod: Pod, status: RuntimePodStatus, signal: AbortSignal): Promise<void>;
}

export interface WorkersDeps {
  syncer: PodSyncer;
  /** The pod as of a moment or later (`pleg.fresh`). */
  fresh(uid: string, since: number): Promise<RuntimePodStatus>;
  clock: Clock;
  logger: Logger;
  times: RequeueTimes;
  random?: () => number;
  /** Told when a worker has finished and its run is over. */
  onFinished?: (uid: string) => void;
  /** Sees how each sync ended. */
  observe?: (operation: string, seconds: number) => void;
}

/** A worker's whole memory. */
export interface Worker {
  readonly uid: string;
  readonly name: string;
  state: WorkerState;
  /** The newest desired pod, and what came with it. */
  update: WorkerUpdate;
  orphan: boolean;
  pending: boolean;
  busy: boolean;
  /** Aborts the sync under way. */
  controller: AbortController;
  /** Ends the wait for the next sync. */
  timer: AbortController | undefined;
  lastSync: number;
  /** A pod of the same UID came while this one was ending: it begins again when this one has finished. */
  restartRequested: boolean;
  /** Resolved when the pod's containers are gone. */
  stopped: PromiseWithResolvers<void>;
}

/** The workers, as the sync loop uses them. */
export interface PodWorkers {
  update(update: WorkerUpdate): void;
  /** Resolves when the pod's containers are gone. */
  stopped(uid: string): Promise<void>;
  get(uid: string): Readonly<Worker> | undefined;
  all(): Iterable<Readonly<Worker>>;
  /** Forgets a finished worker, so that the UID may begin anew. */
  forget(uid: string): void;
  /** Ends all syncs and waits for them; nothing is stopped. */
  close(): Promise<void>;
}

interface State extends WorkersDeps {
  workers: Map<string, Worker>;
  /** Static pods by full name, in the order in which they may run. */
  queues: Map<string, string[]>;
  closing: boolean;
  runs: Set<Promise<void>>;
}

export function createPodWorkers(deps: WorkersDeps): PodWorkers {
  const state: State = { ...deps, workers: new Map(), queues: new Map(), closing: false, runs: new Set() };
  return {
    update: (update) => take(state, update),
    stopped: (uid) => state.workers.get(uid)?.stopped.promise ?? Promise.resolve(),
    get: (uid) => state.workers.get(uid),
    all: () => state.workers.values(),
    forget: (uid) => forget(state, uid),
    async close() {
      state.closing = true;
      for (const worker of state.workers.values()) {
        worker.controller.abort();
        worker.timer?.abort();
      }
      await Promise.all(state.runs);
    },
  };
}

function forget(state: State, uid: string): void {
  const worker = state.workers.get(uid);
  if (worker === undefined || worker.state.phase !== 'finished') return;
  worker.timer?.abort();
  state.workers.delete(uid);
  leaveQueue(state, worker);
}

/** Puts an update in a worker's slot. */
function take(state: State, update: WorkerUpdate): void {
  const uid = uidOf(update.pod);
  let worker = state.workers.get(uid);
  if (worker === undefined) {
    if (state.closing) return;
    worker = newWorker(state, uid, update);
  }
  if (update.kind === 'create' && isEnding(worker.state)) {
    worker.restartRequested = true;
    return;
  }
  if (worker.state.phase === 'finished') return;
  if (!(update.orphan === true && !worker.orphan)) worker.update = update;
  if (mustTerminate(worker, update)) beginTermination(worker, update, state.clock.monotonic());
  wake(state, worker);
}

function newWorker(state: State, uid: string, update: WorkerUpdate): Worker {
  const worker: Worker = {
    uid,
    name: fullName(update.pod),
    state: { phase: 'syncing', started: false },
    update,
    orphan: update.orphan === true,
    pending: false,
    busy: false,
    controller: new AbortController(),
    timer: undefined,
    lastSync: 0,
    restartRequested: false,
    stopped: Promise.withResolvers(),
  };
  state.workers.set(uid, worker);
  if (isStatic(update.pod) && !worker.orphan) enterQueue(state, worker);
  return worker;
}

/** Static pods of one name run one after another: the new manifest waits until the old pod has finished. */
function enterQueue(state: State, worker: Worker): void {
  const queue = state.queues.get(worker.name) ?? [];
  queue.push(worker.uid);
  state.queues.set(worker.name, queue);
  if (queue[0] !== worker.uid) worker.state = { phase: 'waiting' };
}

function leaveQueue(state: State, worker: Worker): void {
  const queue = state.queues.get(worker.name)?.filter((uid) => uid !== worker.uid);
  if (queue === undefined) return;
  if (queue.length > 0) state.queues.set(worker.name, queue);
  else state.queues.delete(worker.name);
  const next = state.workers.get(queue[0] ?? '');
  if (next?.state.phase !== 'waiting') return;
  next.state = { phase: 'syncing', started: false };
  wake(state, next);
}

function wake(state: State, worker: Worker): void {
  worker.pending = true;
  worker.timer?.abort();
  worker.timer = undefined;
  if (worker.busy || worker.state.phase === 'waiting' || state.closing) return;
  worker.busy = true;
  const run = runWorker(state, worker);
  state.runs.add(run);
  run.finally(() => state.runs.delete(run));
}

async function runWorker(state: State, worker: Worker): Promise<void> {
  while (worker.pending && !state.closing && worker.state.phase !== 'finished') {
    worker.pending = false;
    const began = state.clock.monotonic();
    const { phase } = worker.state;
    let failure: unknown;
    let outcome: StepOutcome = { changed: true };
    try {
      outcome = await step(state, worker);
    } catch (error) {
      failure = error;
      report(state, worker, error);
    }
    const ended = state.clock.monotonic();
    // What was known stays true after a sync that did nothing; else the runtime must be asked again.
    if (outcome.changed) worker.lastSync = ended;
    state.observe?.(phase, (ended - began) / 1000);
    if (worker.pending) continue;
    // A new phase, and what a sync has changed, are looked at at once.
    if (worker.state.phase !== phase || (failure === undefined && outcome.changed)) worker.pending = true;
    else if (!state.closing) {
      schedule(state, worker, outcome.againMs ?? requeueDelay(failure, state.times, random(state)));
    }
  }
  worker.busy = false;
  if (worker.state.phase === 'finished') state.onFinished?.(worker.uid);
  else if (worker.pending && !state.closing) wake(state, worker);
}

function random(state: State): number {
  return (state.random ?? Math.random)();
}

function report(state: State, worker: Worker, error: unknown): void {
  if (worker.controller.signal.aborted || state.closing) return;
  const fields = { pod: title(worker.update.pod), uid: worker.uid, error: messageOf(error) };
  state.logger.error(fields, 'Cannot sync a pod');
}

function schedule(state: State, worker: Worker, ms: number): void {
  const timer = new AbortController();
  worker.timer = timer;
  state.clock.sleep(ms, timer.signal).then(
    () => worker.timer === timer && wake(state, worker),
    () => {},
  );
}

/** What a pass did. */
interface StepOutcome {
  changed: boolean;
  /** Milliseconds until the next pass, if not the usual. */
  againMs?: number;
}

/** One pass of a worker. */
async function step(state: State, worker: Worker): Promise<StepOutcome> {
  const status = await state.fresh(worker.uid, worker.lastSync);
  const current = worker.state;
  if (worker.controller.signal.aborted) worker.controller = new AbortController();
  const { signal } = worker.controller;
  if (state.closing) return { changed: false };
  if (current.phase === 'terminating') {
    await terminate(state, worker, status);
  } else if (current.phase === 'terminated') {
    await state.syncer.finish(worker.update.pod, status, signal);
    finish(state, worker);
  } else if (current.phase === 'syncing') {
    if (endedBefore(worker, status)) {
      worker.state = { phase: 'terminated', kill: undefined };
      worker.stopped.resolve();
      return { changed: false };
    }
    current.started = true;
    const { terminal, ...outcome } = await state.syncer.sync(worker.update, status, signal);
    if (terminal && worker.state.phase === 'syncing') {
      beginTermination(worker, { ...worker.update, kind: 'update' }, state.clock.monotonic());
    }
    return outcome;
  }
  return { changed: true };
}

/** A pod that the API says is over, first seen after a restart, with nothing of it running. */
function endedBefore(worker: Worker, status: RuntimePodStatus): boolean {
  const phase = worker.update.pod.status?.phase;
  if (worker.state.phase !== 'syncing' || worker.state.started) return false;
  if (phase !== 'Succeeded' && phase !== 'Failed') return false;
  return status.containers.every((container) => container.state === 'exited');
}

async function terminate(state: State, worker: Worker, status: RuntimePodStatus): Promise<void> {
  const current = worker.state;
  if (current.phase !== 'terminating') return;
  const { graceSeconds, kill } = current;
  const { pod } = worker.update;
  const how = { graceSeconds, kill, orphan: worker.orphan };
  await state.syncer.terminate(pod, status, how, worker.controller.signal);
  worker.stopped.resolve();
  if (worker.orphan) finish(state, worker);
  else worker.state = { phase: 'terminated', kill };
}

function finish(state: State, worker: Worker): void {
  worker.state = { phase: 'finished' };
  worker.stopped.resolve();
  leaveQueue(state, worker);
}
