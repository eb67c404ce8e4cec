/**
 * Probes: startup, liveness and readiness of containers. The manager keeps one worker for each container and kind;
 * a worker reads the pod's newest status, probes when its rules say so, and settles a result after its threshold.
 */
import type { Pod } from '#contracts/kubernetes/types.ts';
import type { Clock } from '#foundation/base/time.ts';
import type { AnyContainer, PodStatusReader, ProbeKind, ProbeManager, ProbeUpdate } from '../ports.ts';
import type { Attempt } from './attempt.ts';
import { type Beat, startBeat } from './beat.ts';
import { createResults } from './results.ts';
import { createWorker, type Worker } from './worker.ts';

const kinds: readonly ProbeKind[] = ['startup', 'liveness', 'readiness'];

/** What probing needs. */
export interface ProbesDeps {
  statuses: PodStatusReader;
  attempt: Attempt;
  clock: Clock;
  /** In [0, 1): spreads the first probes after a restart of the kubelet. */
  random?: () => number;
}

interface Entry {
  worker: Worker;
  beat: Beat;
}

/** Makes the probe manager. */
export function createProbeManager(deps: ProbesDeps): ProbeManager {
  const listeners = new Set<(update: ProbeUpdate) => void>();
  const tell = (update: ProbeUpdate) => {
    for (const listener of listeners) listener(update);
  };
  const results = {
    startup: createResults('startup', tell),
    liveness: createResults('liveness', tell),
    readiness: createResults('readiness', tell),
  };
  const pods = new Map<string, Map<string, Entry>>();
  const terminating = new Set<string>();
  const begun = deps.clock.monotonic();
  const random = deps.random ?? Math.random;

  const startWorker = (pod: Pod, container: AnyContainer, kind: ProbeKind): Entry | undefined => {
    const probe = container[`${kind}Probe`];
    if (probe === undefined) return undefined;
    const uid = pod.metadata.uid ?? '';
    const worker = createWorker({
      ...deps,
      kind,
      pod,
      container,
      probe,
      results: results[kind],
      terminating: () => terminating.has(uid) || pod.metadata.deletionTimestamp !== undefined,
    });
    const periodMs = (probe.periodSeconds ?? 10) * 1000;
    // After a restart all workers begin at once; spreading them spares the node a wave every period.
    const delay = deps.clock.monotonic() - begun < periodMs ? random() * periodMs : 0;
    return { worker, beat: startBeat(deps.clock, periodMs, delay, (signal) => worker.tick(signal)) };
  };
  const remove = (podUid: string) => {
    for (const { worker, beat } of pods.get(podUid)?.values() ?? []) {
      beat.stop();
      worker.forget();
    }
    pods.delete(podUid);
    terminating.delete(podUid);
  };
  return {
    add(pod) {
      const uid = pod.metadata.uid ?? '';
      const workers = pods.get(uid) ?? new Map<string, Entry>();
      pods.set(uid, workers);
      for (const container of probed(pod))
        for (const kind of kinds) {
          const key = `${kind}/${container.name}`;
          const entry = workers.has(key) ? undefined : startWorker(pod, container, kind);
          if (entry !== undefined) workers.set(key, entry);
        }
    },
    remove,
    stopLivenessAndStartup(podUid) {
      terminating.add(podUid);
      for (const [key, { beat }] of pods.get(podUid) ?? []) if (!key.startsWith('readiness/')) beat.trigger();
    },
    retain(podUids) {
      for (const uid of [...pods.keys()]) if (!podUids.has(uid)) remove(uid);
    },
    result: (kind, containerId) => results[kind].get(containerId),
    hasWorker: (kind, podUid, container) => pods.get(podUid)?.has(`${kind}/${container}`) === true,
    triggerReadiness: (podUid, container) => pods.get(podUid)?.get(`readiness/${container}`)?.beat.trigger(),
    subscribe(listener) {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
  };
}

/** Regular containers, and init containers that go on running. */
function probed(pod: Pod): AnyContainer[] {
  const sidecars = (pod.spec.initContainers ?? []).filter((each) => each.restartPolicy === 'Always');
  return [...pod.spec.containers, ...sidecars];
}
