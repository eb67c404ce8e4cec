/**
 * What runs beside the core, each on a beat of its own: the HTTP server, eviction, garbage collection, log rotation.
 * Made from the same configuration; started after the core and stopped before it.
 */
import { join } from 'node:path';
import { Counter, Histogram } from '#foundation/base/metrics.ts';
import { type Repeating, repeat } from '#foundation/base/repeat.ts';
import { undoStack } from '#foundation/base/undo.ts';
import { inhibitShutdown } from '#foundation/linux/logind.ts';
import { durationMs } from './configuration/duration.ts';
import type { CoreServices } from './core-deps.ts';
import { createPluginRegistry, type PluginHandler } from './devices/plugin-registry.ts';
import { createPodResourcesServer } from './devices/pod-resources.ts';
import { createEvictionManager } from './eviction/eviction.ts';
import { observe } from './eviction/observe.ts';
import { configuredThresholds } from './eviction/thresholds.ts';
import { collectContainers } from './gc/containers.ts';
import { startGarbageCollection } from './gc/gc.ts';
import { createImageCollector } from './gc/images.ts';
import { pluginRoot } from './givers.ts';
import type { KubeletDeps } from './kubelet.ts';
import { startLogRotation } from './logs/rotation.ts';
import { createShutdownDelay, wantsGracefulShutdown } from './node/shutdown.ts';
import type { KubeletParts, LateFacts } from './parts.ts';
import { amountOf } from './resources/amounts.ts';
import { reconcileCpus } from './resources/cpu-reconcile.ts';
import { healthResults } from './server/routes/health.ts';
import { metricRoutes } from './server/routes/metrics.ts';
import { statRoutes } from './server/routes/stats.ts';
import { createKubeletServer } from './server/server.ts';
import { createPodUsages, type PodUsages } from './stats/pod-usage.ts';
import { createStats, type Stats } from './stats/stats.ts';
import { registerVolumeGauges } from './stats/volume-metrics.ts';
import { createVolumeMeter } from './stats/volume-usage.ts';
import { claimOf } from './volumes/claims.ts';
import { csiUsage } from './volumes/csi/usage.ts';

/** Something with a beginning and an end. */
interface Keeper {
  start(): Promise<void>;
  stop(): Promise<void>;
}

/** The keepers of a kubelet. */
export interface Keepers extends Keeper {
  /** The ports that the HTTP server got, by what they serve: `secure`, `readonly`, `healthz`. */
  ports(): ReadonlyMap<string, number>;
}

/** What the makers below share. */
interface Making {
  deps: KubeletDeps;
  core: CoreServices;
  parts: KubeletParts;
  late: LateFacts;
  podLogs: string;
  usages: PodUsages;
  stats: Stats;
}

/** Makes them; nothing runs before `start`. */
export function createKeepers(
  deps: KubeletDeps,
  core: CoreServices,
  parts: KubeletParts,
  late: LateFacts,
): Keepers {
  const making = prepare(deps, core, parts, late);
  const server = makeServer(making);
  const images = makeImageCollector(making);
  const keepers: [string, Keeper][] = [
    ['server', server],
    ['device plugins', parts.devices],
    ['graceful shutdown', makeShutdown(making)],
    ['plugin registry', makeRegistry(making)],
    ['pod-resources API', makePodResources(making)],
    ['eviction', makeEviction(making, images)],
    ...(deps.configuration.cpuManagerPolicy === 'static'
      ? [['CPU manager', makeCpuReconciler(making)] as [string, Keeper]]
      : []),
    ['garbage collection', beating(() => startGarbageCollection({ ...collection(making), images }))],
    ['log rotation', beating(() => startLogRotation(rotation(making)))],
  ];
  return {
    async start() {
      await using undo = undoStack();
      for (const [name, keeper] of keepers) {
        await keeper.start();
        undo.defer(`stop the ${name}`, () => keeper.stop());
      }
      undo.commit();
    },
    async stop() {
      for (const [, keeper] of keepers.toReversed()) await keeper.stop();
    },
    ports: server.ports,
  };
}

/** Something that begins to run when it is made. */
function beating(begin: () => Repeating): Keeper {
  let running: Repeating | undefined;
  return {
    start: async () => {
      running = begin();
    },
    stop: async () => running?.stop(),
  };
}

function prepare(deps: KubeletDeps, core: CoreServices, parts: KubeletParts, late: LateFacts): Making {
  const { configuration, paths, clock } = deps;
  const podLogs = configuration.podLogsDir === '/var/log/pods' ? paths.podLogs : configuration.podLogsDir;
  const diskPeriodMs = durationMs(configuration.volumeStatsAggPeriod);
  const usages = createPodUsages({
    cri: core.runtime,
    clock,
    kubeletRoot: paths.kubelet,
    podLogs,
    diskPeriodMs,
  });
  const meter = makeMeter(deps, core, parts);
  const stats = createStats({
    ...parts,
    volumes: meter,
    view: core.view,
    usages,
    images: core.images,
    clock,
    nodeName: deps.nodeName,
    kubeletRoot: paths.kubelet,
    memoryCapacity: parts.machine.memory,
    bootedAt: parts.machine.bootedAt,
  });
  return { deps, core, parts, late, podLogs, usages, stats };
}

/** Measures volumes, and counts them where Prometheus looks. */
function makeMeter(
  { configuration, paths, clock, logger: log }: KubeletDeps,
  core: CoreServices,
  parts: KubeletParts,
) {
  const meter = createVolumeMeter({
    mountsOf: parts.volumes.mountsOf,
    claimOf(pod, name) {
      const volume = pod.spec.volumes?.find((each) => each.name === name);
      return volume === undefined ? undefined : claimOf(pod, volume);
    },
    csi: (path) => csiUsage({ kubeletRoot: paths.kubelet, drivers: parts.csi }, path),
    clock,
    periodMs: durationMs(configuration.volumeStatsAggPeriod),
    events: core.events,
    log,
  });
  registerVolumeGauges(core.view.metrics, meter, () => core.active.activePods());
  return meter;
}

function makeServer({ deps, core, parts, stats }: Making) {
  const { configuration, paths, clock, logger: log, nodeName: hostname, api } = deps;
  const { machine, layout, podCgroup } = parts;
  const figures = { layout, podCgroup, memoryCapacity: machine.memory, cpus: machine.cpus };
  return createKubeletServer({
    configuration,
    kubeletRoot: paths.kubelet,
    hostname,
    logRoot: '/var/log',
    socket: join(paths.run, 'kubelet.sock'),
    view: core.view,
    node: parts.node,
    cri: core.runtime,
    statRoutes: [
      ...metricRoutes(core.view.metrics, () => healthResults({ configuration, health: core.view.health })),
      ...statRoutes(stats, figures),
    ],
    api,
    clock,
    log,
  });
}

function collection({ deps, core, podLogs }: Making) {
  const { clock, logger: log, paths } = deps;
  const { view, events, runtime: cri } = core;
  return { cri, view, podLogs, containerLogs: paths.containerLogs, log, clock, events };
}

function makeImageCollector({ deps, core }: Making) {
  const { configuration, clock, logger: log } = deps;
  return createImageCollector({
    cri: core.images,
    view: core.view,
    clock,
    events: core.events,
    log,
    highPercent: configuration.imageGCHighThresholdPercent,
    lowPercent: configuration.imageGCLowThresholdPercent,
    minAgeMs: durationMs(configuration.imageMinimumGCAge),
    maxAgeMs: durationMs(configuration.imageMaximumGCAge),
  });
}

function rotation({ deps, core }: Making) {
  const { configuration, clock, logger: log } = deps;
  return {
    cri: core.runtime,
    clock,
    log,
    maxSize: amountOf(configuration.containerLogMaxSize),
    maxFiles: configuration.containerLogMaxFiles,
    workers: configuration.containerLogMaxWorkers,
    intervalMs: durationMs(configuration.containerLogMonitorInterval),
  };
}

function makeShutdown({ deps, core }: Making): Keeper {
  const why = 'Kubelet needs time to handle node shutdown';
  return createShutdownDelay({
    wanted: wantsGracefulShutdown(deps.configuration),
    source: (onShutdown) => inhibitShutdown({ who: 'kubelet', why, onShutdown }),
    endPods: () => core.shutdown.begin(),
    calledOff: () => core.shutdown.callOff(),
    log: deps.logger,
  });
}

function makeRegistry({ deps, parts }: Making): Keeper {
  const { paths, clock, logger: log } = deps;
  const directory = join(pluginRoot(paths), 'plugins_registry');
  const handlers = new Map<string, PluginHandler>([
    ['CSIPlugin', parts.csi],
    ['DRAPlugin', parts.draDrivers],
  ]);
  const registry = createPluginRegistry({ directory, handlers, clock, log });
  return {
    start: registry.start,
    async stop() {
      await registry.stop();
      parts.csi.close();
      parts.draDrivers.close();
    },
  };
}

function makePodResources({ deps, core, parts }: Making): Keeper {
  return createPodResourcesServer({
    directory: join(pluginRoot(deps.paths), 'pod-resources'),
    pods: () => core.active.activePods(),
    log: deps.logger,
    devices: parts.devices,
    cpus: parts.cpus,
    memory: parts.memory,
    dynamicResources: parts.dynamicResources,
  });
}

function makeCpuReconciler({ deps, core, parts }: Making): Keeper {
  const told = new Map<string, string>();
  const { clock, logger: log, configuration } = deps;
  return beating(() =>
    repeat({
      clock,
      pauseMs: () => durationMs(configuration.cpuManagerReconcilePeriod),
      round: (signal) => reconcileCpus({ manager: parts.cpus, cri: core.runtime, log }, told, signal),
      onError: (error) => log.warn({ err: error }, 'cannot tell containers their CPUs'),
    }),
  );
}

function makeEviction(making: Making, images: ReturnType<typeof makeImageCollector>): Keeper {
  const { deps, core, parts, late, stats, usages } = making;
  const { configuration, clock, logger: log } = deps;
  const evictions = new Counter({
    name: 'kubelet_evictions',
    help: 'Cumulative number of pod evictions by eviction signal',
    labelNames: ['eviction_signal'],
    registers: [core.view.metrics],
  });
  const ages = new Histogram({
    name: 'kubelet_eviction_stats_age_seconds',
    help: 'Age of the figures that an eviction is decided by',
    labelNames: ['eviction_signal'],
    registers: [core.view.metrics],
  });
  const look = async () => {
    const began = clock.monotonic();
    const figures = await observe({ ...parts, stats, memoryCapacity: parts.machine.memory });
    for (const signal of figures.keys())
      ages.observe({ eviction_signal: signal }, (clock.monotonic() - began) / 1000);
    return figures;
  };
  const manager = createEvictionManager({
    thresholds: configuredThresholds(configuration),
    transitionMs: durationMs(configuration.evictionPressureTransitionPeriod),
    maxGraceSeconds: configuration.evictionMaxPodGracePeriod,
    localStorage: configuration.localStorageCapacityIsolation,
    observe: look,
    splitDisks: async () => (await stats.disks()).split,
    usage: (pods) => usages.measure(pods, { disk: true }),
    reclaimDisk: async (signal) => {
      await collectContainers(collection(making), { all: true }, signal);
      await images.removeUnused(signal);
    },
    resources: parts.resources,
    clock,
    events: core.events,
    log,
    count: (signal) => evictions.inc({ eviction_signal: signal }),
  });
  late.pressure = manager.pressure;
  return { start: async () => manager.start(core.active, core.control), stop: manager.stop };
}
