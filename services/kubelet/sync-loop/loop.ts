/**
 * The sync loop: waits for news (desired state, runtime, probes, time) and hands each to whom it concerns. It
 * reacts to events at once; its own clock only catches what no event told.
 */
import { messageOf } from '#foundation/base/errors.ts';
import type { PodUpdate } from '../config/pod-config.ts';
import type { PodEvent } from '../pleg/events.ts';
import { uidOf } from '../pods/identity.ts';
import type { ProbeUpdate } from '../ports.ts';
import { deadlineVerdict } from '../status/deadline.ts';
import { handleUpdate } from './config-handlers.ts';
import type { LoopDeps } from './deps.ts';
import { housekeep } from './housekeeping.ts';
import { retryResizes } from './resize.ts';

/** Milliseconds (kubelet-facts 2). */
const periods = { tick: 1000, housekeeping: 2000, runtimeStatus: 5000, resize: 180_000 };

export interface SyncLoop {
  start(): void;
  stop(): Promise<void>;
  /** A change of the desired state; handled in order. */
  update(update: PodUpdate): void;
  /** Milliseconds since the loop last went round. */
  age(): number;
  /** Resolves when all updates so far were handled. */
  idle(): Promise<void>;
}

export function createSyncLoop(deps: LoopDeps): SyncLoop {
  const stopping = new AbortController();
  let queue: Promise<void> = Promise.resolve();
  let beat = deps.clock.monotonic();
  let loops: Promise<unknown> = Promise.resolve();
  const guarded = (what: string, work: () => void | Promise<void>) => async () => {
    try {
      await work();
    } catch (error) {
      deps.logger.error({ error: messageOf(error) }, `${what} failed`);
    }
  };
  const every = async (ms: number, what: string, work: () => void | Promise<void>) => {
    const run = guarded(what, work);
    while (!stopping.signal.aborted) {
      await deps.clock.sleep(ms, stopping.signal).catch(() => {});
      if (!stopping.signal.aborted) await run();
    }
  };
  return {
    start() {
      deps.pleg.subscribe((events) => handlePleg(deps, events));
      const unsubscribe = deps.probes.subscribe((update) => handleProbe(deps, update));
      stopping.signal.addEventListener('abort', unsubscribe, { once: true });
      loops = Promise.all([
        every(periods.tick, 'Sync tick', () => {
          beat = deps.clock.monotonic();
          tick(deps);
        }),
        every(periods.housekeeping, 'Housekeeping', () => housekeep(deps)),
        every(periods.runtimeStatus, 'Runtime status', () => deps.runtimeState.poll()),
        every(periods.resize, 'Resize', () => retryResizes(deps)),
      ]);
    },
    async stop() {
      stopping.abort();
      await Promise.all([loops, queue]);
    },
    update(update) {
      queue = queue.then(guarded('Handling a change of the pods', () => handleUpdate(deps, update)));
    },
    age: () => deps.clock.monotonic() - beat,
    idle: () => queue,
  };
}

/** Pods whose time is over fail now, not at their next sync. */
function tick(deps: LoopDeps): void {
  for (const pod of deps.pods.pods()) {
    if (pod.spec.activeDeadlineSeconds === undefined) continue;
    const status = deps.statuses.status(uidOf(pod));
    if (status?.phase === 'Failed' || status?.phase === 'Succeeded') continue;
    if (deadlineVerdict(pod, status, deps.clock.now()) === undefined) continue;
    deps.workers.update({ kind: 'sync', pod, mirror: deps.pods.mirrorOf(pod) });
  }
}

function handlePleg(deps: LoopDeps, events: readonly PodEvent[]): void {
  const uids = new Set(
    events.filter(({ kind }) => kind !== 'removed' && kind !== 'created').map(({ uid }) => uid),
  );
  for (const uid of uids) syncKnown(deps, uid);
}

function handleProbe(deps: LoopDeps, { kind, podUid, containerId, result }: ProbeUpdate): void {
  const pod = deps.pods.get(podUid);
  if (pod === undefined) return;
  const success = result === 'success';
  if (kind === 'readiness') deps.statuses.setProbed(pod, containerId, 'ready', success);
  if (kind === 'startup') deps.statuses.setProbed(pod, containerId, 'started', success);
  if (kind === 'liveness' && success) return;
  syncKnown(deps, podUid);
}

/** Syncs a pod that has a worker; what has none is housekeeping's. */
function syncKnown(deps: LoopDeps, uid: string): void {
  const worker = deps.workers.get(uid);
  if (worker === undefined || worker.orphan) return;
  const pod = deps.pods.get(uid) ?? worker.update.pod;
  deps.workers.update({ kind: 'sync', pod, mirror: deps.pods.mirrorOf(pod) });
}
