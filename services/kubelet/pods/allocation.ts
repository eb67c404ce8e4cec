/**
 * The resources each pod was granted. A pod runs with what was allocated, not with what its spec asks for now:
 * a resize changes the one into the other when it fits (KEP-1287). Kept in `allocated_pods_state`, so that a
 * restart does not grant anew.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import type { Container, Pod, PodCondition, ResourceRequirements } from '#contracts/kubernetes/types.ts';
import { replaceFileSync } from '#foundation/base/files.ts';
import { uidOf } from './identity.ts';

/** Why a resize has not been granted. */
export interface ResizePending {
  reason: 'Deferred' | 'Infeasible';
  message: string;
}

export interface Allocation {
  /** Grants what the spec asks for: at admission, or when a resize fits. */
  grant(pod: Pod): void;
  /** The pod with its granted resources; as it is if nothing was granted yet. */
  allocated(pod: Pod): Pod;
  /** Whether the spec asks for something else than was granted. */
  wantsResize(pod: Pod): boolean;
  /** @returns whether it was not so before. */
  setPending(uid: string, pending: ResizePending | undefined): boolean;
  /** A resize was granted and is being carried out; the message of the last failure, empty for none. */
  setInProgress(uid: string, error: string | undefined): void;
  conditions(uid: string): Omit<PodCondition, 'lastTransitionTime'>[];
  /** The resources a container, or with `podLevel` the pod as a whole, was last started or resized with; undefined when that is not known. */
  actuated(uid: string, container: string): ResourceRequirements | undefined;
  setActuated(uid: string, container: string, resources: ResourceRequirements | undefined): void;
  retain(uids: ReadonlySet<string>): void;
}

/** What the pod as a whole has stands beside its containers, under a name that none can have. */
export const podLevel = '';

/** Granted resources by container name. */
type Granted = Record<string, ResourceRequirements>;

interface Checkpoint {
  version: 1;
  pods: Record<string, Granted>;
}

/**
 * @param directory the kubelet's root.
 * @param onUnsaved told why a checkpoint could not be written; what was granted holds all the same.
 */
export function createAllocation(directory: string, onUnsaved: (error: unknown) => void): Allocation {
  const path = join(directory, 'allocated_pods_state');
  const actuatedPath = join(directory, 'actuated_pods_state');
  const granted = new Map(Object.entries(load(path).pods));
  const actuated = new Map(Object.entries(load(actuatedPath).pods));
  const pending = new Map<string, ResizePending>();
  const progress = new Map<string, string>();
  const write = (file: string, pods: ReadonlyMap<string, Granted>) => {
    const checkpoint: Checkpoint = { version: 1, pods: Object.fromEntries(pods) };
    try {
      replaceFileSync(file, JSON.stringify(checkpoint), { durable: false });
    } catch (error) {
      onUnsaved(error);
    }
  };
  const save = () => write(path, granted);
  return {
    grant(pod) {
      const resources = resourcesOf(pod);
      if (isDeepStrictEqual(granted.get(uidOf(pod)), resources)) return;
      granted.set(uidOf(pod), resources);
      save();
    },
    allocated(pod) {
      const own = granted.get(uidOf(pod));
      if (own === undefined || isDeepStrictEqual(own, resourcesOf(pod))) return pod;
      const apply = (containers: Container[]) =>
        containers.map((each) => ({ ...each, resources: own[each.name] ?? each.resources }));
      const { containers, initContainers } = pod.spec;
      const spec = { ...pod.spec, containers: apply(containers) };
      if (initContainers !== undefined) spec.initContainers = apply(initContainers);
      if (own[podLevel] !== undefined) spec.resources = own[podLevel];
      return { ...pod, spec };
    },
    wantsResize(pod) {
      const own = granted.get(uidOf(pod));
      return own !== undefined && !isDeepStrictEqual(own, resourcesOf(pod));
    },
    setPending(uid, why) {
      const before = pending.get(uid);
      if (why === undefined) pending.delete(uid);
      else pending.set(uid, why);
      return before?.reason !== why?.reason;
    },
    setInProgress(uid, error) {
      if (error === undefined) progress.delete(uid);
      else progress.set(uid, error);
    },
    conditions: (uid) => conditionsOf(pending.get(uid), progress.get(uid)),
    actuated: (uid, container) => actuated.get(uid)?.[container],
    setActuated(uid, container, resources = {}) {
      const before = actuated.get(uid);
      if (isDeepStrictEqual(before?.[container], resources)) return;
      actuated.set(uid, { ...before, [container]: resources });
      write(actuatedPath, actuated);
    },
    retain(uids) {
      const gone = [...granted.keys()].filter((uid) => !uids.has(uid));
      for (const uid of gone) {
        granted.delete(uid);
        actuated.delete(uid);
        pending.delete(uid);
        progress.delete(uid);
      }
      if (gone.length === 0) return;
      save();
      write(actuatedPath, actuated);
    },
  };
}

function load(path: string): Checkpoint {
  try {
    const checkpoint = JSON.parse(readFileSync(path, 'utf8')) as Checkpoint;
    const isWhole =
      checkpoint.version === 1 && typeof checkpoint.pods === 'object' && checkpoint.pods !== null;
    if (isWhole) return checkpoint;
  } catch {
    // The first start, or a broken file: what runs is granted again as its spec says.
  }
  return { version: 1, pods: {} };
}

function resourcesOf(pod: Pod): Granted {
  const containers = [...(pod.spec.initContainers ?? []), ...pod.spec.containers];
  const whole: [string, ResourceRequirements][] =
    pod.spec.resources === undefined ? [] : [[podLevel, pod.spec.resources]];
  return Object.fromEntries([...containers.map((each) => [each.name, each.resources ?? {}]), ...whole]);
}

function conditionsOf(
  pending: ResizePending | undefined,
  error: string | undefined,
): Omit<PodCondition, 'lastTransitionTime'>[] {
  return [
    ...(pending === undefined ? [] : [{ type: 'PodResizePending', status: 'True', ...pending }]),
    ...(error === undefined
      ? []
      : [
          {
            type: 'PodResizeInProgress',
            status: 'True',
            ...(error === '' ? {} : { reason: 'Error', message: error }),
          },
        ]),
  ];
}
