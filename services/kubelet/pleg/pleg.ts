/**
 * The pod lifecycle event generator: knows the state of every pod in the runtime, and says when it changes.
 *
 * Three ways lead here: a relist of everything every second, the runtime's own event stream where it has one
 * (then the relist only makes sure nothing was missed), and a question about one pod after the kubelet did
 * something to it. Each answer carries the moment it was asked for, so that an old one never replaces a new one.
 */
import { isSkiffError, messageOf } from '#foundation/base/errors.ts';
import type { Logger } from '#foundation/base/log.ts';
import type { Clock } from '#foundation/base/time.ts';
import { listPods } from '../runtime-manager/list.ts';
import { emptyStatus, type ListedPod, type RuntimePodStatus } from '../runtime-manager/model.ts';
import { queryPod } from '../runtime-manager/pod-status.ts';
import type { RuntimeCalls } from '../runtime-manager/runtime-calls.ts';
import { diffPod, type PodEvent } from './events.ts';

/** Milliseconds in which the events of one action come together. */
const settleMs = 8;

export interface PlegDeps {
  runtime: RuntimeCalls;
  clock: Clock;
  logger: Logger;
  /** Milliseconds between relists; 1000 in the original. */
  relistMs: number;
  /** Milliseconds between relists while the runtime's event stream is open. */
  eventedRelistMs: number;
  /** Whether to use the runtime's event stream if it has one. */
  evented: boolean;
  /** Sees the seconds each relist took. */
  observeRelist?: (seconds: number) => void;
}

/** The runtime's pods, as last seen. Moments are those of `clock.monotonic()`. */
export interface Pleg {
  /** Begins to watch; resolves after the first relist, which it repeats until the runtime answers. */
  start(): Promise<void>;
  stop(): Promise<void>;
  /** The pod as it was at `since` or later; asks the runtime if what is known is older. */
  fresh(uid: string, since: number): Promise<RuntimePodStatus>;
  /** The pod as last seen; undefined when the runtime has nothing of it. */
  cached(uid: string): RuntimePodStatus | undefined;
  /** Asks about one pod now and sends what changed. Failures are left to the next relist. */
  refresh(uid: string): void;
  /** Every pod the runtime has, as last seen. */
  pods(): ReadonlyMap<string, ListedPod>;
  subscribe(listener: (events: PodEvent[]) => void): void;
  /** When the last relist succeeded; undefined before. */
  lastRelist(): number | undefined;
  /** Relists now; for callers that need all pods as of now. @throws SkiffError as the runtime answered. */
  relist(): Promise<void>;
}

interface State extends PlegDeps {
  listed: Map<string, ListedPod>;
  statuses: Map<string, RuntimePodStatus>;
  /** Pods the event stream told of a moment ago, and when it did last. */
  hinted: Map<string, number>;
  /** Pods whose details could not be had: asked again at every relist. */
  stale: Set<string>;
  /** Questions under way, with the moment they were asked. */
  asking: Map<string, { at: number; answer: Promise<RuntimePodStatus> }>;
  listeners: ((events: PodEvent[]) => void)[];
  relistedAt: number | undefined;
  /** Since when the runtime's event stream is open. */
  streamSince: number | undefined;
  first: PromiseWithResolvers<void>;
  stopping: AbortController;
}

export function createPleg(deps: PlegDeps): Pleg {
  const state: State = {
    ...deps,
    listed: new Map(),
    statuses: new Map(),
    hinted: new Map(),
    stale: new Set(),
    asking: new Map(),
    listeners: [],
    relistedAt: undefined,
    streamSince: undefined,
    first: Promise.withResolvers(),
    stopping: new AbortController(),
  };
  let loops: Promise<unknown> = Promise.resolve();
  return {
    start() {
      loops = Promise.all([relistLoop(state), deps.evented ? streamLoop(state) : undefined]);
      return state.first.promise;
    },
    async stop() {
      state.stopping.abort();
      await loops;
    },
    fresh: (uid, since) => fresh(state, uid, since),
    cached: (uid) => state.statuses.get(uid),
    refresh: (uid) => void ask(state, uid).catch(() => state.stale.add(uid)),
    pods: () => state.listed,
    subscribe: (listener) => void state.listeners.push(listener),
    lastRelist: () => state.relistedAt,
    relist: () => relist(state),
  };
}

async function fresh(state: State, uid: string, since: number): Promise<RuntimePodStatus> {
  if (state.relistedAt === undefined) await state.first.promise;
  const known = state.statuses.get(uid);
  const relistedAt = state.relistedAt ?? 0;
  if (!state.stale.has(uid)) {
    if (known === undefined && relistedAt >= since) return emptyStatus(uid, relistedAt);
    if (known !== undefined && Math.max(known.at, relistedAt) >= since) return known;
  }
  const present = state.asking.get(uid);
  return present !== undefined && present.at >= since ? present.answer : ask(state, uid);
}

/** Asks the runtime about one pod, now. */
function ask(state: State, uid: string): Promise<RuntimePodStatus> {
  const at = state.clock.monotonic();
  const answer = (async () => {
    const status = await queryPod(state.runtime, uid, at, state.statuses.get(uid));
    learn(state, uid, status);
    return status;
  })();
  const entry = { at, answer };
  state.asking.set(uid, entry);
  const forget = () => {
    if (state.asking.get(uid) === entry) state.asking.delete(uid);
  };
  answer.then(forget, forget);
  return answer;
}

/** Takes in the details of a pod, unless newer ones came meanwhile. */
function learn(state: State, uid: string, status: RuntimePodStatus): void {
  const known = state.statuses.get(uid);
  if (known !== undefined && known.at > status.at) return;
  const before = state.listed.get(uid);
  const empty = status.sandboxes.length === 0 && status.containers.length === 0;
  state.stale.delete(uid);
  if (empty) {
    state.statuses.delete(uid);
    state.listed.delete(uid);
  } else {
    state.statuses.set(uid, status);
    state.listed.set(uid, {
      uid,
      name: status.name || (before?.name ?? ''),
      namespace: status.namespace || (before?.namespace ?? ''),
      sandboxes: status.sandboxes,
      containers: status.containers,
    });
  }
  send(state, diffPod(uid, before, empty ? undefined : state.listed.get(uid)));
}

function send(state: State, events: PodEvent[]): void {
  if (events.length === 0) return;
  for (const listener of state.listeners) listener(events);
}

/** An event told of a pod: asks about it, unless somebody did so since. A burst of events is one question. */
async function hint(state: State, uid: string): Promise<void> {
  const isFirst = !state.hinted.has(uid);
  state.hinted.set(uid, state.clock.monotonic());
  if (!isFirst) return;
  await state.clock.sleep(settleMs, state.stopping.signal).catch(() => {});
  const told = state.hinted.get(uid) ?? 0;
  state.hinted.delete(uid);
  const asked = Math.max(state.asking.get(uid)?.at ?? -1, state.statuses.get(uid)?.at ?? -1);
  if (asked > told || state.stopping.signal.aborted) return;
  await ask(state, uid).catch(() => state.stale.add(uid));
}

async function relist(state: State): Promise<void> {
  const at = state.clock.monotonic();
  const listed = await listPods(state.runtime);
  const changed = new Set(state.stale);
  for (const uid of new Set([...listed.keys(), ...state.listed.keys()])) {
    const newer = (state.statuses.get(uid)?.at ?? 0) > at;
    if (!newer && diffPod(uid, state.listed.get(uid), listed.get(uid)).length > 0) changed.add(uid);
  }
  await Promise.all(
    [...changed].map(async (uid) => {
      try {
        await ask(state, uid);
      } catch (error) {
        state.stale.add(uid);
        state.logger.warn({ pod: uid, error: messageOf(error) }, 'Cannot get the status of a pod');
      }
    }),
  );
  state.relistedAt = at;
  state.first.resolve();
  state.observeRelist?.((state.clock.monotonic() - at) / 1000);
}

async function relistLoop(state: State): Promise<void> {
  const { signal } = state.stopping;
  let failures = 0;
  while (!signal.aborted) {
    try {
      if (relistDue(state)) await relist(state);
      failures = 0;
    } catch (error) {
      failures += 1;
      if (failures === 1)
        state.logger.error({ error: messageOf(error) }, 'Cannot list the pods of the runtime');
    }
    const ms = failures > 0 ? Math.min(state.relistMs, 200 * failures) : state.relistMs;
    await state.clock.sleep(ms, signal).catch(() => {});
  }
}

/** An open stream spares relists, once there was one that began after it was opened. */
function relistDue({ streamSince, relistedAt, clock, eventedRelistMs }: State): boolean {
  if (streamSince === undefined || relistedAt === undefined || relistedAt <= streamSince) return true;
  return clock.monotonic() - relistedAt >= eventedRelistMs;
}

/** Follows the runtime's events; each is only a hint to ask about its pod, so that none has to be trusted. */
async function streamLoop(state: State): Promise<void> {
  const { signal } = state.stopping;
  let failures = 0;
  while (!signal.aborted) {
    try {
      state.streamSince = state.clock.monotonic();
      for await (const event of state.runtime.getContainerEvents({}, { signal })) {
        failures = 0;
        const uid = event.podSandboxStatus?.metadata?.uid;
        if (uid) void hint(state, uid);
      }
    } catch (error) {
      state.streamSince = undefined;
      if (isSkiffError(error, 'UNIMPLEMENTED')) return;
      failures += 1;
    }
    state.streamSince = undefined;
    await state.clock.sleep(Math.min(5000, 200 * 2 ** failures), signal).catch(() => {});
  }
}
