/** Metrics of pods on their way: how long they take to start, what is worked on, how long cgroups take. */
import type { Pod, PodStatus } from '#contracts/kubernetes/types.ts';
import { Counter, Gauge, Histogram, type Registry } from '#foundation/base/metrics.ts';
import type { Clock } from '#foundation/base/time.ts';
import type { PodWorkers } from './pod-workers/workers.ts';
import { annotationOf, hasTerminalPhase, isStatic, seenAnnotation, uidOf } from './pods/identity.ts';
import type { PodResources } from './ports.ts';

/** What is noted of pods. */
export interface PodMetrics {
  /** A worker syncs the pod; the first time counts. */
  syncing(pod: Pod): void;
  /** An image was pulled for the pod within the last `seconds`. */
  pulled(podUid: string, seconds: number): void;
  /** The pod has a new status; the first that is Running counts. */
  status(pod: Pod, status: PodStatus): void;
  /** A pod began again under its UID. */
  restarted(pod: Pod): void;
  /** A status reached the API so many seconds after it came about. */
  statusWritten(seconds: number): void;
  forget(podUid: string): void;
  /** Pod cgroups whose work is timed. */
  timed(resources: PodResources): PodResources;
}

interface Start {
  synced: boolean;
  running: boolean;
  /** Milliseconds since the epoch. */
  firstPull: number | undefined;
  lastPull: number;
}

const buckets = [0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600];

/** Makes the metrics in `registry`. */
export function createPodMetrics(registry: Registry, clock: Clock): PodMetrics {
  const meters = metersIn(registry);
  const starts = new Map<string, Start>();
  const startOf = (uid: string) => {
    const known = starts.get(uid) ?? { synced: false, running: false, firstPull: undefined, lastPull: 0 };
    starts.set(uid, known);
    return known;
  };
  const since = (time: string | undefined) => {
    const at = Date.parse(time ?? '');
    return Number.isNaN(at) ? undefined : Math.max(0, clock.now() - at) / 1000;
  };
  return {
    syncing(pod) {
      const start = startOf(uidOf(pod));
      const waited = since(annotationOf(pod, seenAnnotation));
      if (!start.synced && waited !== undefined) meters.workerStart.observe(waited);
      start.synced = true;
    },
    pulled(uid, seconds) {
      const start = startOf(uid);
      start.firstPull ??= clock.now() - seconds * 1000;
      start.lastPull = clock.now();
    },
    status(pod, { phase }) {
      const start = startOf(uidOf(pod));
      if (phase !== 'Running' || start.running) return;
      start.running = true;
      const took = since(annotationOf(pod, seenAnnotation));
      if (took !== undefined) meters.start.observe(took);
      // What the pulls of images cost is nobody's fault here.
      const whole = since(pod.metadata.creationTimestamp as string | undefined);
      const pulls = start.firstPull === undefined ? 0 : (start.lastPull - start.firstPull) / 1000;
      if (whole !== undefined) meters.startSli.observe(Math.max(0, whole - pulls));
    },
    restarted: (pod) => meters.restarted.inc({ static: isStatic(pod) ? 'true' : '' }),
    statusWritten: (seconds) => meters.statusSync.observe(seconds),
    forget: (uid) => void starts.delete(uid),
    timed: (resources) =>
      timed(resources, clock, (operation, seconds) =>
        meters.cgroups.observe({ operation_type: operation }, seconds),
      ),
  };
}

function metersIn(registry: Registry) {
  const registers = [registry];
  const histogram = (name: string, help: string, labelNames: string[] = []) =>
    new Histogram({ name: `kubelet_${name}`, help, labelNames, registers, buckets });
  return {
    start: histogram('pod_start_duration_seconds', 'Seconds from first seeing a pod to its running'),
    startSli: histogram(
      'pod_start_sli_duration_seconds',
      'Seconds from making a pod to its running, without pulls',
    ),
    workerStart: histogram(
      'pod_worker_start_duration_seconds',
      'Seconds from first seeing a pod to its first sync',
    ),
    statusSync: histogram('pod_status_sync_duration_seconds', 'Seconds until a new status is in the API'),
    cgroups: histogram('cgroup_manager_duration_seconds', 'Seconds of work on cgroups', ['operation_type']),
    restarted: new Counter({
      name: 'kubelet_restarted_pods_total',
      help: 'Pods that began again under their UID',
      labelNames: ['static'],
      registers,
    }),
  };
}

function timed(
  resources: PodResources,
  clock: Clock,
  observe: (operation: string, seconds: number) => void,
): PodResources {
  const time = async (operation: string, work: Promise<void>) => {
    const began = clock.monotonic();
    try {
      await work;
    } finally {
      observe(operation, (clock.monotonic() - began) / 1000);
    }
  };
  return {
    ...resources,
    createPodCgroup: (pod) => time('create', resources.createPodCgroup(pod)),
    updatePodCgroup: (pod, how) => time('update', resources.updatePodCgroup(pod, how)),
    removePodCgroup: (uid) => time('destroy', resources.removePodCgroup(uid)),
  };
}

const lifecycles = {
  waiting: 'sync',
  syncing: 'sync',
  terminating: 'terminating',
  terminated: 'terminated',
} as const;

/** Gauges of what is worked on; they are filled when they are read. */
export function registerWorkGauges(
  registry: Registry,
  sources: { pods: () => readonly Pod[]; workers: () => Pick<PodWorkers, 'all'> },
): void {
  const fill = (gauge: Gauge, rows: Iterable<Record<string, string>>) => {
    gauge.reset();
    for (const labels of rows) gauge.inc(labels);
  };
  new Gauge({
    name: 'kubelet_active_pods',
    help: 'Pods that are admitted and not over',
    labelNames: ['static'],
    registers: [registry],
    collect() {
      fill(
        this,
        sources
          .pods()
          .filter((pod) => !hasTerminalPhase(pod))
          .map((pod) => ({ static: isStatic(pod) ? 'true' : '' })),
      );
    },
  });
  new Gauge({
    name: 'kubelet_working_pods',
    help: 'Pods that are worked on, by what is done with them and whether somebody wants them',
    labelNames: ['lifecycle', 'config', 'static'],
    registers: [registry],
    collect() {
      const wanted = new Set(sources.pods().map(uidOf));
      const rows: Record<string, string>[] = [];
      for (const { uid, state, orphan, update } of sources.workers().all()) {
        if (state.phase === 'finished') continue;
        const config = orphan ? 'runtime_only' : wanted.has(uid) ? 'desired' : 'orphan';
        rows.push({
          lifecycle: lifecycles[state.phase],
          config,
          static: orphan ? 'unknown' : isStatic(update.pod) ? 'true' : '',
        });
      }
      fill(this, rows);
    },
  });
}
