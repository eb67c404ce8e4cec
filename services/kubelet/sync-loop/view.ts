/** What the HTTP server, statistics, collection and eviction see of the kubelet's pods. */
import type { Pod } from '#contracts/kubernetes/types.ts';
import { SkiffError } from '#foundation/base/errors.ts';
import type { Registry } from '#foundation/base/metrics.ts';
import { mayHaveContainers } from '../pod-workers/state.ts';
import { allContainers } from '../pods/containers.ts';
import { isDeleted, nameOf, namespaceOf, title, uidOf } from '../pods/identity.ts';
import type { ActivePods, KubeletView, RuntimeHealth } from '../ports.ts';
import { activePods } from './active.ts';
import type { LoopDeps } from './deps.ts';
import { podOf } from './housekeeping.ts';

export interface Views {
  view: KubeletView;
  active: ActivePods;
  health: RuntimeHealth;
}

/** @param loopAge milliseconds since the sync loop last went round. */
export function createView(deps: LoopDeps, loopAge: () => number, metrics: Registry): Views {
  const health: RuntimeHealth = {
    runtimeErrors: deps.runtimeState.runtimeErrors,
    networkErrors: deps.runtimeState.networkErrors,
    runtimeVersion: deps.runtimeState.version,
    runtimeFeatures: deps.runtimeState.features,
    syncLoopAge: loopAge,
  };
  const view: KubeletView = {
    pods: () => deps.pods.pods().map((pod) => withStatus(deps, pod)),
    runningPods: () => {
      const running = [...deps.pleg.pods().values()].filter(({ sandboxes, containers }) => {
        return sandboxes.some(({ ready }) => ready) || containers.some(({ state }) => state === 'running');
      });
      return running.map(podOf);
    },
    find: (namespace, name, uid) => {
      const pod = deps.pods.pods().find((each) => {
        return namespaceOf(each) === namespace && nameOf(each) === name && matchesUid(deps, each, uid);
      });
      return pod === undefined ? undefined : withStatus(deps, pod);
    },
    containerId: (pod, container, options) => containerId(deps, pod, container, options?.previous === true),
    sandboxId: async (pod) => {
      const status = await deps.pleg.fresh(uidOf(pod), 0);
      const id = status.sandboxes[0]?.id;
      if (id === undefined) throw new SkiffError('NOT_FOUND', `pod ${title(pod)} has no sandbox yet`);
      return id;
    },
    mayRemoveContent: (uid) => mayRemoveContent(deps, uid),
    mayRemoveRuntime: (uid) => {
      const worker = deps.workers.get(uid);
      return worker === undefined ? deps.pods.get(uid) === undefined : worker.state.phase === 'finished';
    },
    sourcesReady: () => deps.sources.allReady(),
    imagesInUse: () => imagesInUse(deps),
    health,
    metrics,
  };
  return { view, health, active: { activePods: () => activePods(deps) } };
}

/** A mirror's UID names its static pod too. */
function matchesUid(deps: LoopDeps, pod: Pod, uid: string | undefined): boolean {
  return uid === undefined || uidOf(pod) === uid || deps.pods.mirrorOf(pod)?.metadata.uid === uid;
}

function withStatus(deps: LoopDeps, pod: Pod): Pod {
  const status = deps.statuses.status(uidOf(pod));
  return status === undefined ? pod : { ...pod, status };
}

async function containerId(deps: LoopDeps, pod: Pod, name: string, previous: boolean) {
  if (!allContainers(pod).some((container) => container.name === name)) {
    throw new SkiffError('NOT_FOUND', `container ${name} is not valid for pod ${nameOf(pod)}`);
  }
  const status = await deps.pleg.fresh(uidOf(pod), 0);
  const records = status.containers.filter((container) => container.name === name);
  const record = records[previous ? 1 : 0];
  if (record === undefined) {
    const where = `"${name}" in pod "${nameOf(pod)}" not found`;
    // 400 as the original's: of a kubelet's 404 an API server passes no words on.
    if (previous) throw new SkiffError('INVALID_ARGUMENT', `previous terminated container ${where}`);
    throw new SkiffError('NOT_FOUND', `container ${where}`);
  }
  return { id: record.id, logPath: record.logPath, running: record.state === 'running' };
}

/** Deleted or evicted pods whose containers have ended, and pods nobody knows. */
function mayRemoveContent(deps: LoopDeps, uid: string): boolean {
  const worker = deps.workers.get(uid);
  if (worker === undefined) return deps.sources.allReady() && deps.pods.get(uid) === undefined;
  if (mayHaveContainers(worker.state)) return false;
  const killed = worker.state.phase === 'terminated' && worker.state.kill?.evicted === true;
  const pod = deps.pods.get(uid);
  return killed || pod === undefined || isDeleted(pod);
}

/** Image names of desired pods, and the images of all containers there are. */
function imagesInUse(deps: LoopDeps): Set<string> {
  const images = new Set<string>();
  for (const { uid } of deps.pleg.pods().values()) {
    for (const { imageId, imageRef } of deps.pleg.cached(uid)?.containers ?? []) {
      images.add(imageId).add(imageRef);
    }
  }
  for (const worker of deps.workers.all()) {
    if (!mayHaveContainers(worker.state)) continue;
    for (const { image } of allContainers(worker.update.pod)) if (image) images.add(image);
    for (const { image } of worker.update.pod.spec.volumes ?? [])
      if (image?.reference) images.add(image.reference);
  }
  return images;
}
