/** The core's metrics, under the original's names (kubelet-facts 12). */
import { Counter, Gauge, Histogram, type Registry } from '#foundation/base/metrics.ts';
import type { Clock } from '#foundation/base/time.ts';
import type { StartCounters } from './runtime-manager/deps.ts';
import type { CallObserver } from './runtime-manager/runtime-calls.ts';

export interface CoreMetrics {
  counters: StartCounters;
  observeCall: CallObserver;
  observeRelist(seconds: number): void;
  observeWorker(operation: string, seconds: number): void;
  observePull(seconds: number, bytes: number): void;
}

/** What gauges are read from when somebody asks. */
export interface GaugeSources {
  runningPods(): number;
  containersByState(): Map<string, number>;
  desiredPods(): { static: number; api: number };
  mirrorPods(): number;
  lastRelistSeconds(): number;
  nodeName: string;
}

const seconds = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

/** Makes the metrics in `registry`. */
export function createCoreMetrics(registry: Registry, clock: Pick<Clock, 'monotonic'>): CoreMetrics {
  const registers = [registry];
  const counter = (name: string, help: string, labelNames: string[] = []) =>
    new Counter({ name: `kubelet_${name}`, help, labelNames, registers });
  const histogram = (name: string, help: string, labelNames: string[] = []) =>
    new Histogram({ name: `kubelet_${name}`, help, labelNames, registers, buckets: seconds });
  const started = counter('started_containers_total', 'Containers started', ['container_type']);
  const failed = counter('started_containers_errors_total', 'Errors when starting containers', [
    'container_type',
    'code',
  ]);
  const pods = counter('started_pods_total', 'Pods started');
  const podErrors = counter('started_pods_errors_total', 'Errors when starting pods');
  const rejected = counter('admission_rejections_total', 'Pods that were rejected', ['reason']);
  const orphans = counter('orphaned_runtime_pods_total', 'Pods of the runtime that nobody asked for');
  const operations = counter('runtime_operations_total', 'Calls of the runtime', ['operation_type']);
  const errors = counter('runtime_operations_errors_total', 'Failed calls of the runtime', [
    'operation_type',
  ]);
  const durations = histogram('runtime_operations_duration_seconds', 'Seconds of runtime calls', [
    'operation_type',
  ]);
  const sandbox = histogram('run_podsandbox_duration_seconds', 'Seconds to make sandboxes', [
    'runtime_handler',
  ]);
  const relist = histogram('pleg_relist_duration_seconds', 'Seconds of relists');
  const interval = histogram('pleg_relist_interval_seconds', 'Seconds between relists');
  let lastRelist: number | undefined;
  // Events wait as long as they must: none is ever dropped.
  counter('pleg_discard_events', 'Events of pods that were dropped').inc(0);
  const worker = histogram('pod_worker_duration_seconds', 'Seconds of pod syncs', ['operation_type']);
  const pull = histogram('image_pull_duration_seconds', 'Seconds of image pulls', ['image_size_in_bytes']);
  return {
    counters: {
      containerStarted: (type) => started.inc({ container_type: containerType(type) }),
      containerFailed: (type, code) => failed.inc({ container_type: containerType(type), code }),
      podStarted: () => pods.inc(),
      podFailed: () => podErrors.inc(),
      sandboxSeconds: (handler, value) => sandbox.observe({ runtime_handler: handler }, value),
      podRejected: (reason) => rejected.inc({ reason }),
      orphan: () => orphans.inc(),
    },
    observeCall({ operation, seconds: value, failed: hasFailed }) {
      operations.inc({ operation_type: operation });
      if (hasFailed) errors.inc({ operation_type: operation });
      durations.observe({ operation_type: operation }, value);
    },
    observeRelist(value) {
      const now = clock.monotonic();
      if (lastRelist !== undefined) interval.observe((now - lastRelist) / 1000);
      lastRelist = now;
      relist.observe(value);
    },
    observeWorker: (operation, value) => worker.observe({ operation_type: operation }, value),
    observePull: (value, bytes) => pull.observe({ image_size_in_bytes: sizeClass(bytes) }, value),
  };
}

function containerType(kind: string): string {
  return { init: 'init_container', ephemeral: 'ephemeral_container' }[kind] ?? 'container';
}

/** The original's classes of image sizes. */
function sizeClass(bytes: number): string {
  const classes: [number, string][] = [
    [10, '0-10MB'],
    [100, '10MB-100MB'],
    [500, '100MB-500MB'],
    [1000, '500MB-1GB'],
    [5000, '1GB-5GB'],
    [10_000, '5GB-10GB'],
  ];
  return classes.find(([limit]) => bytes <= limit * 1024 * 1024)?.[1] ?? 'GT10GB';
}

/** Gauges that are filled when they are read. */
export function registerGauges(registry: Registry, sources: GaugeSources): void {
  const gauge = (name: string, help: string, collect: (gauge: Gauge) => void, labelNames: string[] = []) => {
    new Gauge({
      name: `kubelet_${name}`,
      help,
      labelNames,
      registers: [registry],
      collect() {
        collect(this);
      },
    });
  };
  gauge('running_pods', 'Pods with a ready sandbox', (each) => each.set(sources.runningPods()));
  gauge(
    'running_containers',
    'Containers by state',
    (each) => {
      each.reset();
      for (const [state, count] of sources.containersByState()) each.set({ container_state: state }, count);
    },
    ['container_state'],
  );
  gauge(
    'desired_pods',
    'Pods the kubelet should run',
    (each) => {
      const { static: own, api } = sources.desiredPods();
      each.set({ static: 'true' }, own);
      each.set({ static: '' }, api);
    },
    ['static'],
  );
  gauge('mirror_pods', 'Mirror pods', (each) => each.set(sources.mirrorPods()));
  gauge('pleg_last_seen_seconds', 'When the last relist was', (each) =>
    each.set(sources.lastRelistSeconds()),
  );
  gauge('node_name', 'The name of the node', (each) => each.set({ node: sources.nodeName }, 1), ['node']);
}
