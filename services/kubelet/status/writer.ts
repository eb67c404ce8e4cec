/**
 * Writes statuses to the API: on change and every ten seconds what is still missing. When a deleted pod has
 * ended, it removes the object (kubelet-facts 4).
 */
import { isDeepStrictEqual } from 'node:util';
import type { Pod, PodCondition, PodStatus } from '#contracts/kubernetes/types.ts';
import { isSkiffError, messageOf } from '#foundation/base/errors.ts';
import type { Logger } from '#foundation/base/log.ts';
import type { Clock } from '#foundation/base/time.ts';
import type { PodWorkers } from '../pod-workers/workers.ts';
import { isDeleted, isMirror, isStatic, nameOf, namespaceOf, title, uidOf } from '../pods/identity.ts';
import type { PodManager } from '../pods/pod-manager.ts';
import type { KubeletApi } from '../ports.ts';
import { ownedConditions } from './conditions.ts';
import type { StatusManager, VersionedStatus } from './manager.ts';

/** Milliseconds between two looks at everything. */
const syncPeriodMs = 10_000;

export interface WriterDeps {
  api: Pick<KubeletApi, 'patchPodStatus' | 'deletePod'>;
  statuses: StatusManager;
  workers: Pick<PodWorkers, 'get'>;
  pods: PodManager;
  clock: Clock;
  logger: Logger;
  /** Sees how many seconds a change took to reach the API. */
  observe?: (seconds: number) => void;
}

/** The last that was written of a status; kept by the UIDs of the pod and of the object (a mirror has its own). */
interface Written {
  /** The pod's UID. */
  uid: string;
  version: number;
  /** The object as the API answered it. */
  object: Pod;
}

interface State extends WriterDeps {
  written: Map<string, Written>;
  /** UIDs with a new status, and since when. */
  dirty: Map<string, number>;
  /** The writes under way, by UID: one at a time for each pod, and no pod waits for another's. */
  writing: Map<string, Promise<void>>;
}

/** Runs until the signal aborts. */
export async function startStatusWriter(deps: WriterDeps, signal: AbortSignal): Promise<void> {
  const state: State = { ...deps, written: new Map(), dirty: new Map(), writing: new Map() };
  deps.statuses.subscribe((uid) => {
    if (signal.aborted) return;
    if (!state.dirty.has(uid)) state.dirty.set(uid, deps.clock.monotonic());
    void writeInTurn(state, uid, signal);
  });
  while (!signal.aborted) {
    await deps.clock.sleep(syncPeriodMs, signal).catch(() => {});
    if (!signal.aborted) await writeAll(state, signal);
  }
  await Promise.all(state.writing.values());
}

async function writeAll(state: State, signal: AbortSignal): Promise<void> {
  const known = new Set<string>();
  for (const { pod } of [...state.statuses.all()]) {
    if (signal.aborted) return;
    known.add(uidOf(pod));
    await writeInTurn(state, uidOf(pod), signal);
  }
  for (const [key, { uid }] of state.written) if (!known.has(uid)) state.written.delete(key);
}

/** Writes a pod's status, and again as long as it has changed meanwhile; a write under way is left to do so. */
function writeInTurn(state: State, uid: string, signal: AbortSignal): Promise<void> {
  const { clock, dirty, observe, writing } = state;
  const running = writing.get(uid);
  if (running !== undefined) return running;
  const work = async () => {
    // Changes of one moment make one write.
    await Promise.resolve();
    do {
      const since = dirty.get(uid);
      dirty.delete(uid);
      const isWritten = await write(state, uid);
      if (isWritten && since !== undefined) observe?.((clock.monotonic() - since) / 1000);
    } while (dirty.has(uid) && !signal.aborted);
    writing.delete(uid);
  };
  const started = work();
  writing.set(uid, started);
  return started;
}

/**
 * Writes one status if the API has an older one, and deletes the pod when its time has come.
 *
 * @returns whether it was written.
 */
async function write(state: State, uid: string): Promise<boolean> {
  const entry = state.statuses.get(uid);
  if (entry === undefined) return false;
  // The API knows a static pod by its mirror.
  const target = isStatic(entry.pod) ? state.pods.mirrorOf(entry.pod) : (state.pods.get(uid) ?? entry.pod);
  if (target === undefined) return false;
  const key = `${uid} ${uidOf(target)}`;
  const before = state.written.get(key);
  const isCurrent = (before?.version ?? 0) >= entry.version && !disagrees(target, entry.status);
  if (isCurrent && !mayDelete(target, entry)) return false;
  try {
    const current = newest(target, before?.object);
    state.written.set(key, { uid, object: await writeTo(state, current, entry), version: entry.version });
    return true;
  } catch (error) {
    // It is gone, or another has its name: the watch will say so.
    if (isSkiffError(error, 'NOT_FOUND', 'ABORTED')) return false;
    state.logger.warn({ pod: title(target), error: messageOf(error) }, 'Cannot write the status of a pod');
    return false;
  }
}

/**
 * The pod as the API had it last: what the watch brought, or what the last write answered. The original asks the API
 * before each write; here a write costs one call, and one that is built on old knowledge is mended by the next.
 */
function newest(watched: Pod, answered: Pod | undefined): Pod {
  if (answered === undefined) return watched;
  const version = ({ metadata }: Pod) => Number(metadata.resourceVersion ?? 0);
  return version(answered) > version(watched) ? answered : watched;
}

/** @returns the object as it is now. */
async function writeTo(state: State, current: Pod, entry: VersionedStatus): Promise<Pod> {
  const mayRun = !entry.finished && holdsContainers(state, uidOf(entry.pod));
  const merged = mergeStatus(current.status ?? {}, entry.status, mayRun);
  const after = sameStatus(current.status ?? {}, merged)
    ? current
    : await state.api.patchPodStatus(current, merged);
  if (mayDelete(after, entry))
    await state.api.deletePod(namespaceOf(after), nameOf(after), {
      uid: uidOf(after),
      gracePeriodSeconds: 0,
    });
  return after;
}

function holdsContainers(state: State, uid: string): boolean {
  const phase = state.workers.get(uid)?.state.phase;
  return phase === 'waiting' || phase === 'syncing' || phase === 'terminating';
}

/** Deleted, not a mirror, and nothing of it left here. */
function mayDelete(pod: Pod, entry: VersionedStatus): boolean {
  return isDeleted(pod) && !isMirror(pod) && entry.finished;
}

/** Whether the API shows something else than what the kubelet means: somebody wrote over it. */
function disagrees(target: Pod, status: PodStatus): boolean {
  return target.status !== undefined && target.status.phase !== status.phase;
}

/**
 * The status to write: the kubelet's, with conditions that others own as the API has them. A terminal phase is
 * held back while containers may run: controllers would replace the pod too early.
 */
export function mergeStatus(current: PodStatus, own: PodStatus, mayRun: boolean): PodStatus {
  const others = (current.conditions ?? []).filter(({ type }) => isForeign(type, own.conditions ?? []));
  const kept = (own.conditions ?? []).filter(
    ({ type }) => ownedConditions.has(type) || type === 'DisruptionTarget',
  );
  const conditions: PodCondition[] = [...kept, ...others];
  const over = own.phase === 'Succeeded' || own.phase === 'Failed';
  const merged: PodStatus = { ...own, conditions, resourceClaimStatuses: current.resourceClaimStatuses };
  if (over && mayRun) {
    merged.phase = current.phase ?? 'Pending';
    for (const condition of merged.conditions ?? []) {
      if (condition.reason === 'PodCompleted' || condition.reason === 'PodFailed')
        condition.reason = undefined;
    }
  }
  return merged;
}

function isForeign(type: string, own: readonly PodCondition[]): boolean {
  if (ownedConditions.has(type)) return false;
  return type !== 'DisruptionTarget' || !own.some((each) => each.type === type);
}

function sameStatus(a: PodStatus, b: PodStatus): boolean {
  const plain = (status: PodStatus) => JSON.parse(JSON.stringify(sorted(status))) as unknown;
  return isDeepStrictEqual(plain(a), plain(b));
}

/** The order of conditions carries no meaning. */
function sorted(status: PodStatus): PodStatus {
  const conditions = [...(status.conditions ?? [])].sort((a, b) => (a.type < b.type ? -1 : 1));
  return { ...status, conditions };
}
