/** What is put in order every two seconds, once every source was seen (the order is the original's). */
import type { Pod } from '#contracts/kubernetes/types.ts';
import { messageOf } from '#foundation/base/errors.ts';
import { isEnding, mayHaveContainers } from '../pod-workers/state.ts';
import { fullName, hasTerminalPhase, uidOf } from '../pods/identity.ts';
import type { ListedPod } from '../runtime-manager/model.ts';
import { holders, isNameEnding, podsWithVolumes } from './active.ts';
import type { LoopDeps } from './deps.ts';

export async function housekeep(deps: LoopDeps): Promise<void> {
  if (!deps.sources.allReady() || deps.pleg.lastRelist() === undefined) return;
  syncWorkers(deps);
  prune(deps);
  removeOrphanMirrors(deps);
  startMissing(deps);
  endOrphans(deps);
  deps.volumes.reconcile(podsWithVolumes(deps));
  await removeOrphanCgroups(deps);
  await removeOrphanDirectories(deps);
  deps.runtime.backoff.collect(deps.clock.now());
}

/** Workers of removed pods end, finished ones are forgotten, those asked to begin again do. */
function syncWorkers(deps: LoopDeps): void {
  for (const worker of [...deps.workers.all()]) {
    const desired = deps.pods.get(worker.uid);
    if (worker.state.phase === 'finished') {
      if (desired === undefined || worker.restartRequested) deps.workers.forget(worker.uid);
    } else if (desired === undefined && !isEnding(worker.state)) {
      deps.workers.update({ kind: 'kill', pod: worker.update.pod });
    }
  }
}

/**
 * A pod that came again while it was ending begins at once, without waiting for the next round.
 *
 * @returns the pod; undefined if none began.
 */
export function beginAgain(deps: LoopDeps, uid: string): Pod | undefined {
  const pod = deps.pods.get(uid);
  if (pod === undefined || deps.workers.get(uid)?.restartRequested !== true) return undefined;
  deps.workers.forget(uid);
  deps.workers.update({ kind: 'create', pod, mirror: deps.pods.mirrorOf(pod) });
  return pod;
}

/** Forgets what is kept for pods that are gone. */
function prune(deps: LoopDeps): void {
  const known = new Set(deps.pods.pods().map(uidOf));
  const working = new Set<string>();
  for (const worker of deps.workers.all()) {
    known.add(worker.uid);
    if (mayHaveContainers(worker.state)) working.add(worker.uid);
  }
  deps.probes.retain(working);
  deps.statuses.retain(known);
  deps.allocation.retain(known);
  deps.admission.retain(holders(deps));
}

function removeOrphanMirrors(deps: LoopDeps): void {
  for (const mirror of deps.pods.mirrors()) {
    if (deps.pods.staticOf(mirror) !== undefined || isNameEnding(deps, fullName(mirror))) continue;
    deps.mirrors.remove(mirror);
  }
}

/** Desired pods without a worker: they were asked to begin again, or came while they could not. */
function startMissing(deps: LoopDeps): void {
  for (const pod of deps.pods.pods()) {
    if (deps.workers.get(uidOf(pod)) !== undefined) continue;
    const rejected = deps.statuses.status(uidOf(pod))?.phase === 'Failed' && !hasTerminalPhase(pod);
    if (!rejected) deps.workers.update({ kind: 'create', pod, mirror: deps.pods.mirrorOf(pod) });
  }
}

/** Pods of the runtime that nobody asked for. */
function endOrphans(deps: LoopDeps): void {
  for (const listed of deps.pleg.pods().values()) {
    if (deps.workers.get(listed.uid) !== undefined || deps.pods.get(listed.uid) !== undefined) continue;
    const alive =
      listed.sandboxes.some(({ ready }) => ready) ||
      listed.containers.some(({ state }) => state !== 'exited');
    if (!alive) continue;
    deps.logger.info(
      { pod: `${listed.namespace}/${listed.name}`, uid: listed.uid },
      'Ending an orphaned pod',
    );
    deps.runtime.counters.orphan();
    deps.workers.update({ kind: 'kill', pod: podOf(listed), orphan: true });
  }
}

/** What is known of a pod that only the runtime has. */
export function podOf({ uid, name, namespace, containers }: ListedPod): Pod {
  const names = [...new Set(containers.map((container) => container.name))];
  return {
    metadata: { uid, name, namespace },
    spec: { containers: names.map((each) => ({ name: each })) },
  };
}

async function removeOrphanCgroups(deps: LoopDeps): Promise<void> {
  for (const uid of await deps.resources.podCgroups('quick')) {
    if (
      isKnown(deps, uid) ||
      deps.pleg
        .pods()
        .get(uid)
        ?.containers.some(({ state }) => state !== 'exited')
    )
      continue;
    await deps.resources.removePodCgroup(uid).catch((error: unknown) => {
      deps.logger.warn({ uid, error: messageOf(error) }, 'Cannot remove the cgroup of a pod that is gone');
    });
  }
}

async function removeOrphanDirectories(deps: LoopDeps): Promise<void> {
  const orphans = deps.directories.list().filter((uid) => !isKnown(deps, uid));
  if (orphans.length === 0) return;
  const held = await deps.volumes.held(orphans);
  for (const uid of orphans) {
    if (isKnown(deps, uid)) continue; // It came meanwhile.
    try {
      if (held.has(uid)) {
        await deps.volumes.unmountAll(uid, AbortSignal.timeout(10_000));
      }
      await deps.directories.remove(uid);
    } catch (error) {
      deps.logger.warn({ uid, error: messageOf(error) }, 'Cannot remove the directory of a pod that is gone');
    }
  }
}

function isKnown(deps: LoopDeps, uid: string): boolean {
  return deps.pods.get(uid) !== undefined || deps.workers.get(uid) !== undefined;
}
