/**
 * The statuses of all pods: takes in what the sync loop makes, the probes' results and kills; counts versions,
 * and tells the writer which pods changed. It never forgets a terminal phase.
 */
import { isDeepStrictEqual } from 'node:util';
import type { ContainerStatus, Pod, PodStatus } from '#contracts/kubernetes/types.ts';
import { initContainers, isSidecar } from '../pods/containers.ts';
import { isStatic, uidOf } from '../pods/identity.ts';
import type { PodStatusReader } from '../ports.ts';
import { conditionsOf } from './conditions.ts';
import { lostState, timeText } from './container-state.ts';
import type { Phase } from './phase.ts';

/** A status with its version. */
export interface VersionedStatus {
  pod: Pod;
  status: PodStatus;
  /** Grows with each change. */
  version: number;
  /** Monotonic milliseconds of the change: how long the API had to wait. */
  at: number;
  /** Whether the worker has finished: nothing of the pod is left on this node. */
  finished: boolean;
}

export interface StatusManager extends PodStatusReader {
  /** Takes in a status. @returns whether it changed. */
  set(pod: Pod, status: PodStatus): boolean;
  /** A probe's result: readiness or started of one container. */
  setProbed(pod: Pod, containerId: string, what: 'ready' | 'started', value: boolean): void;
  /** Makes the status final: what is not known to have ended is marked so. */
  terminate(pod: Pod): void;
  /** Nothing of the pod is left: the API object may go. */
  finish(pod: Pod): void;
  get(uid: string): Readonly<VersionedStatus> | undefined;
  all(): Iterable<Readonly<VersionedStatus>>;
  /** Forgets the pods that are not in the set. */
  retain(uids: ReadonlySet<string>): void;
  /** Called with the UID of each pod that changed. */
  subscribe(listener: (uid: string) => void): void;
}

export interface StatusManagerDeps {
  now(): number;
  monotonic(): number;
}

export function createStatusManager({ now, monotonic }: StatusManagerDeps): StatusManager {
  const entries = new Map<string, VersionedStatus>();
  const listeners: ((uid: string) => void)[] = [];
  const changed = (uid: string) => {
    for (const listener of listeners) listener(uid);
  };
  const set = (pod: Pod, status: PodStatus): boolean => {
    const uid = uidOf(pod);
    const old = entries.get(uid);
    const next = withoutNothing(status);
    if (old !== undefined && isDeepStrictEqual(old.status, next)) {
      old.pod = pod;
      return false;
    }
    const version = (old?.version ?? 0) + 1;
    entries.set(uid, { pod, status: next, version, at: monotonic(), finished: old?.finished ?? false });
    changed(uid);
    return true;
  };
  return {
    set,
    status: (uid) => entries.get(uid)?.status,
    get: (uid) => entries.get(uid),
    all: () => entries.values(),
    setProbed(pod, containerId, what, value) {
      const old = entries.get(uidOf(pod));
      if (old === undefined) return;
      const status = structuredClone(old.status);
      const target = allStatuses(status).find(({ containerID }) =>
        containerID?.endsWith(`://${containerId}`),
      );
      if (target === undefined || target[what] === value) return;
      target[what] = value;
      if (what === 'started' && !value) target.ready = false;
      set(pod, recomputed(old.pod, status, timeText(now())));
    },
    terminate(pod) {
      const old = entries.get(uidOf(pod));
      set(pod, finalStatus(pod, structuredClone(old?.status ?? pod.status ?? {}), timeText(now())));
    },
    finish(pod) {
      const entry = entries.get(uidOf(pod));
      if (entry === undefined || entry.finished) return;
      entry.finished = true;
      entry.version += 1;
      changed(uidOf(pod));
    },
    retain(uids) {
      for (const uid of entries.keys()) if (!uids.has(uid)) entries.delete(uid);
    },
    subscribe: (listener) => void listeners.push(listener),
  };
}

/** Without the fields that are undefined, which JSON would not carry either. */
function withoutNothing(status: PodStatus): PodStatus {
  return JSON.parse(JSON.stringify(status)) as PodStatus;
}

function allStatuses(status: PodStatus): ContainerStatus[] {
  return [...(status.initContainerStatuses ?? []), ...(status.containerStatuses ?? [])];
}

/** The conditions that follow from readiness, after a probe's result. */
function recomputed(pod: Pod, status: PodStatus, now: string): PodStatus {
  const before = status.conditions ?? [];
  const fresh = conditionsOf({
    pod,
    phase: (status.phase ?? 'Pending') as Phase,
    runtime: { uid: '', name: '', namespace: '', ips: [], sandboxes: [], containers: [], at: 0 },
    containerStatuses: status.containerStatuses ?? [],
    initContainerStatuses: status.initContainerStatuses ?? [],
    before,
    extra: [],
    now,
  });
  const moved = new Set(['Initialized', 'Ready', 'ContainersReady']);
  const conditions = before.map((old) => {
    return moved.has(old.type) ? (fresh.find(({ type }) => type === old.type) ?? old) : old;
  });
  return { ...status, conditions };
}

/** Everything that may be unclear is decided: containers have ended, and the phase is terminal. */
function finalStatus(pod: Pod, status: PodStatus, now: string): PodStatus {
  const message = 'The container could not be located when the pod was terminated';
  const end = (each: ContainerStatus) => {
    if (each.state?.terminated !== undefined) return;
    each.state = lostState(message);
    each.ready = false;
    each.started = false;
  };
  const sidecarNames = new Set(
    initContainers(pod)
      .filter(isSidecar)
      .map(({ name }) => name),
  );
  const ran = (status.containerStatuses ?? []).some(({ state, lastState }) => {
    return (
      state?.running !== undefined || state?.terminated !== undefined || lastState?.terminated !== undefined
    );
  });
  for (const each of status.containerStatuses ?? []) end(each);
  for (const each of status.initContainerStatuses ?? []) {
    // What never had its turn stays waiting, unless the pod got past it.
    const began = each.state?.running !== undefined || sidecarNames.has(each.name) || ran;
    if (began) end(each);
  }
  const open = status.phase === undefined || status.phase === 'Pending' || status.phase === 'Running';
  if (open && !isStatic(pod)) status.phase = 'Failed';
  return recomputed(pod, status, now);
}
