/**
 * Writes statuses to the API: on change and every ten seconds what is still missing. When a deleted pod has
 * ended, it removes the object (kubelet-facts 4).
 */
import { isDeepStrictEqual } from 'node:util';
import type { Pod, PodCondition, PodStatus } from '#contracts/kubernetes/types.ts';
import { messageOf } from '#foundation/base/errors.ts';
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
  api: Pick<KubeletApi, 'getPod' | 'patchPodStatus' | 'deletePod'>;
  statuses: StatusManager;
  workers: Pick<PodWorkers, 'get'>;
  pods: PodManager;
  clock: Clock;
  logger: Logger;
  /** Sees how many seconds a change took to reach the API. */
  observe?: (seconds: number) => void;
}

interface State extends WriterDeps {
  /** The version of each status the API has, by UID of the pod it is about. */
  written: Map<string, number>;
  /** UIDs with a new status, and since when. */
  dirty: Map<string, number>;
  wake: () => void;
}

/** Runs until the signal aborts. */
export async function startStatusWriter(deps: WriterDeps, signal: AbortSignal): Promise<void> {
  const state: State = { ...deps, written: new Map(), dirty: new Map(), wake: () => {} };
  deps.statuses.subscribe((uid) => {
    if (!state.dirty.has(uid)) state.dirty.set(uid, deps.clock.monotonic());
    state.wake();
  });
  let full = deps.clock.monotonic();
  while (!signal.aborted) {
    const news = Promise.withResolvers<void>();
    state.wake = news.resolve;
    const changed = [...state.dirty];
    state.dirty.clear();
    await Promise.all(
      changed.map(async ([uid, since]) => {
        if (await write(state, uid)) deps.observe?.((deps.clock.monotonic() - since) / 1000);
      }),
    );
    if (deps.clock.monotonic() - full >= syncPeriodMs) {
      full = deps.clock.monotonic();
      await writeAll(state);
    }
    const timer = new AbortController();
    const wait = deps.clock.sleep(syncPeriodMs, AbortSignal.any([signal, timer.signal])).catch(() => {});
    if (state.dirty.size === 0) await Promise.race([wait, news.promise]);
    timer.abort();
  }
}

async function writeAll(state: State): Promise<void> {
  const known = new Set<string>();
  for (const { pod } of [...state.statuses.all()]) {
    known.add(uidOf(pod));
    await write(state, uidOf(pod));
  }
  for (const uid of state.written.keys()) if (!known.has(uid)) state.written.delete(uid);
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
  const isCurrent = (state.written.get(key) ?? 0) >= entry.version && !disagrees(target, entry.status);
  if (isCurrent && !mayDelete(target, entry)) return false;
  try {
    const current = await state.api.getPod(namespaceOf(target), nameOf(target));
    if (current === undefined || uidOf(current) !== uidOf(target)) return false;
    await writeTo(state, current, entry);
    state.written.set(key, entry.version);
    return true;
  } catch (error) {
    state.logger.warn({ pod: title(target), error: messageOf(error) }, 'Cannot write the status of a pod');
    return false;
  }
}

async function writeTo(state: State, current: Pod, entry: VersionedStatus): Promise<void> {
  const mayRun = !entry.finished && holdsContainers(state, uidOf(entry.pod));
  const merged = mergeStatus(current.status ?? {}, entry.status, mayRun);
  const after = sameStatus(current.status ?? {}, merged)
    ? current
    : await state.api.patchPodStatus(current, merged);
  if (!mayDelete(after, entry)) return;
  await state.api.deletePod(namespaceOf(after), nameOf(after), { uid: uidOf(after), gracePeriodSeconds: 0 });
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
