/**
 * What the CRI server tells of itself: pods, containers and images there are, pulls, ends for want of memory, and its
 * own process. Calls are counted where they are served (`../rpc/observe.ts`).
 */
import { readdirSync } from 'node:fs';
import { Counter, Gauge, Histogram, type Registry } from '#foundation/base/metrics.ts';
import type { Container } from '../containers/table.ts';
import type { ProgressBoard, PullProgress } from '../images/progress.ts';

/** What is looked at. */
export interface MetricsSources {
  registry: Registry;
  /** All that clients see. */
  sandboxes(): readonly { ready: boolean }[];
  containers(): readonly Container[];
  images(): readonly { size: number }[];
  pulls: Pick<ProgressBoard, 'watch'>;
}

/** Told of what happens. */
export interface ServerMetrics extends Disposable {
  /** A container ended. */
  stopped(container: Container): void;
}

/** Begins to collect. */
export function collectMetrics(sources: MetricsSources): ServerMetrics {
  describeProcess(sources.registry);
  countThings(sources);
  const stopWatching = sources.pulls.watch(pullObserver(sources.registry));
  const outOfMemory = new Counter({
    name: 'skiff_cri_containers_oom_total',
    help: 'Containers that ended because a process of theirs was killed for want of memory',
    registers: [sources.registry],
  });
  return {
    stopped({ record: { life } }) {
      if (life.phase === 'exited' && life.reason === 'OOMKilled') outOfMemory.inc();
    },
    [Symbol.dispose]: stopWatching,
  };
}

/** Counted when they are asked for. */
function countThings({ registry, sandboxes, containers, images }: MetricsSources): void {
  const gauge = (name: string, help: string, labels: string[], collect: (gauge: Gauge) => void) =>
    new Gauge({
      name,
      help,
      labelNames: labels,
      registers: [registry],
      collect() {
        this.reset();
        collect(this);
      },
    });
  gauge('skiff_cri_sandboxes', 'Pod sandboxes by state', ['state'], (found) => {
    for (const state of ['ready', 'notready']) found.set({ state }, 0);
    for (const { ready } of sandboxes()) found.inc({ state: ready ? 'ready' : 'notready' });
  });
  gauge('skiff_cri_containers', 'Containers by state', ['state'], (found) => {
    for (const state of ['created', 'running', 'exited']) found.set({ state }, 0);
    for (const { record } of containers()) {
      const { phase } = record.life;
      found.inc({ state: phase === 'restorable' ? 'created' : phase });
    }
  });
  gauge('skiff_cri_images', 'Images on this machine', [], (found) => found.set(images().length));
  gauge('skiff_cri_image_bytes', 'Bytes of all images as they are pulled', [], (found) =>
    found.set(images().reduce((sum, { size }) => sum + size, 0)),
  );
}

/** Follows pulls from their first report to their last. */
function pullObserver(registry: Registry): (progress: PullProgress) => void {
  const seconds = new Histogram({
    name: 'skiff_cri_image_pull_seconds',
    help: 'Duration of image pulls that succeeded',
    buckets: [0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600],
    registers: [registry],
  });
  const failures = new Counter({
    name: 'skiff_cri_image_pull_failures_total',
    help: 'Image pulls that failed',
    registers: [registry],
  });
  const bytes = new Counter({
    name: 'skiff_cri_image_pull_bytes_total',
    help: 'Bytes of layers that were downloaded',
    registers: [registry],
  });
  const begun = new Map<string, number>();
  new Gauge({
    name: 'skiff_cri_image_pulls_in_progress',
    help: 'Image pulls under way',
    registers: [registry],
    collect() {
      this.set(begun.size);
    },
  });
  return (progress) => {
    const { reference, state, layers } = progress;
    const start = begun.get(reference) ?? performance.now();
    begun.set(reference, start);
    if (state !== 'done' && state !== 'failed') return;
    begun.delete(reference);
    for (const layer of layers) if (layer.state !== 'exists') bytes.inc(layer.done);
    if (state === 'done') seconds.observe((performance.now() - start) / 1000);
    else failures.inc();
  };
}

/** The names that every Prometheus client uses; read when asked for, so that an idle server stays idle. */
function describeProcess(registry: Registry): void {
  const register = (name: string, help: string, read: () => number) =>
    new Gauge({
      name,
      help,
      registers: [registry],
      collect() {
        this.set(read());
      },
    });
  register('process_cpu_seconds_total', 'CPU time of this process', () => {
    const { user, system } = process.cpuUsage();
    return (user + system) / 1e6;
  });
  register('process_resident_memory_bytes', 'Memory of this process', () => process.memoryUsage.rss());
  register('process_start_time_seconds', 'Start of this process since the epoch', () =>
    Math.round(performance.timeOrigin / 1000),
  );
  register(
    'process_open_fds',
    'Open file descriptors of this process',
    () => readdirSync('/proc/self/fd').length,
  );
}
