/**
 * The core of the kubelet, wired: sources -> config -> sync loop -> pod workers -> runtime manager -> CRI, and
 * back through PLEG and statuses. `makeParts` is given what the core offers and makes the parts beside it.
 */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Pod, PodStatus } from '#contracts/kubernetes/types.ts';
import { messageOf } from '#foundation/base/errors.ts';
import { createPodConfig } from './config/pod-config.ts';
import { createSources } from './config/sources.ts';
import { startSources } from './config/start-sources.ts';
import type { CoreDeps, CoreServices, Parts } from './core-deps.ts';
import { createEventRecorder } from './events/recorder.ts';
import { createImageManager } from './images/ensure-image.ts';
import { createPodCredentials } from './images/pod-credentials.ts';
import { loadProviders } from './images/providers/config.ts';
import { createCredentialProviders } from './images/providers/providers.ts';
import { createAccountAsker } from './images/providers/service-account.ts';
import { createPullRate } from './images/pull-rate.ts';
import { createPullRecords } from './images/pull-records.ts';
import { createCoreMetrics, registerGauges } from './metrics.ts';
import { createPleg } from './pleg/pleg.ts';
import { createPodMetrics, registerWorkGauges } from './pod-metrics.ts';
import { createPodWorkers } from './pod-workers/workers.ts';
import { createAllocation, podLevel } from './pods/allocation.ts';
import { createPodDirectories } from './pods/directories.ts';
import { isStatic, uidOf } from './pods/identity.ts';
import { createMirrorPods } from './pods/mirror.ts';
import { createPodManager } from './pods/pod-manager.ts';
import { createBackoff } from './runtime-manager/backoff.ts';
import { watchedCalls } from './runtime-manager/runtime-calls.ts';
import { createStatusManager } from './status/manager.ts';
import { createReasonCache } from './status/reason-cache.ts';
import { startStatusWriter } from './status/writer.ts';
import type { LoopDeps } from './sync-loop/deps.ts';
import { finishPod, terminatePod } from './sync-loop/end-pod.ts';
import { beginAgain } from './sync-loop/housekeeping.ts';
import { createPodControl } from './sync-loop/kill.ts';
import { createSyncLoop } from './sync-loop/loop.ts';
import { createRuntimeState } from './sync-loop/runtime-state.ts';
import { createShutdown } from './sync-loop/shutdown.ts';
import { syncPod } from './sync-loop/sync-pod.ts';
import { createView } from './sync-loop/view.ts';

/** Milliseconds a pod's start waits for its volumes, as in the original. */
const volumeTimeoutMs = 123_000;
/** A container that ran so long begins its back-off anew: fixed in the original. */
const restartResetMs = 600_000;

export interface Core {
  readonly services: CoreServices;
  readonly parts: Parts;
  start(): Promise<void>;
  /** Stops looking; containers go on. */
  stop(): Promise<void>;
}

export function createCore(deps: CoreDeps, makeParts: (services: CoreServices) => Parts): Core {
  mkdirSync(deps.root, { recursive: true, mode: 0o750 });
  const base = baseOf(deps);
  const { loop, services, parts } = wire(deps, base, makeParts);
  const stopping = new AbortController();
  const running: Promise<unknown>[] = [];
  const syncLoop = createSyncLoop(loop);
  base.onUpdate = syncLoop.update;
  base.loopAge = syncLoop.age;
  return {
    services,
    parts,
    async start() {
      await parts.resources.start();
      await parts.volumes.start();
      await loop.runtimeState.poll();
      syncLoop.start();
      // Nothing waits for the runtime here: pods do, and a runtime that starts later is found.
      void loop.pleg.start();
      if (deps.api !== undefined) {
        deps.api.start();
        running.push(
          startStatusWriter(
            { ...loop, api: deps.api, observe: base.podMetrics.statusWritten },
            stopping.signal,
          ),
        );
      }
      running.push(...startSources(deps, loop.config, stopping.signal));
    },
    async stop() {
      stopping.abort(new Error('the kubelet is being stopped'));
      await syncLoop.stop();
      await loop.workers.close();
      parts.probes.retain(new Set());
      await loop.pleg.stop();
      await parts.volumes.stop();
      await Promise.allSettled(running);
      await deps.api?.stop();
      parts.resources.stop();
    },
  };
}

type Base = ReturnType<typeof baseOf>;

/** What needs nothing of the parts. */
function baseOf(deps: CoreDeps) {
  const { clock, logger, settings, api } = deps;
  const metrics = createCoreMetrics(deps.metrics, clock);
  const podMetrics = createPodMetrics(deps.metrics, clock);
  const runtime = watchedCalls(deps.cri.runtime, settings.runtimeRequestTimeoutMs, metrics.observeCall);
  const images = watchedCalls(deps.cri.images, settings.runtimeRequestTimeoutMs, metrics.observeCall);
  const now = () => clock.now();
  const events = createEventRecorder({
    nodeName: deps.nodeName,
    sinks: deps.eventSinks ?? [],
    now,
    logger,
  });
  const pleg = createPleg({
    runtime,
    clock,
    logger,
    relistMs: settings.relistMs,
    eventedRelistMs: settings.eventedRelistMs,
    evented: settings.evented,
    observeRelist: metrics.observeRelist,
  });
  const runtimeState = createRuntimeState({ runtime, clock, lastRelist: pleg.lastRelist });
  const sources = createSources([
    ...(deps.manifests.path === undefined ? [] : ['file' as const]),
    ...(deps.manifests.url === undefined ? [] : ['http' as const]),
    ...(api === undefined ? [] : ['api' as const]),
  ]);
  const base = {
    metrics,
    podMetrics,
    runtime,
    images,
    events,
    pleg,
    runtimeState,
    sources,
    onUpdate: (_: Parameters<ReturnType<typeof createSyncLoop>['update']>[0]): void => {},
    loopAge: () => 0,
    pods: createPodManager(),
    mirrors: createMirrorPods({ api, logger }),
    directories: createPodDirectories(deps.root),
    allocation: createAllocation(deps.root, (error) => {
      logger.error({ error: messageOf(error) }, 'Cannot keep what resources pods were granted');
    }),
    statuses: createStatusManager({ now, monotonic: () => clock.monotonic() }),
    reasons: createReasonCache(),
  };
  const config = createPodConfig({
    now,
    emit: (update) => base.onUpdate(update),
    onDuplicate: (pod) => {
      const message = `Another pod of the same name stands in the same source; this one is left out`;
      events.pod(pod, 'Warning', 'FailedValidation', message);
    },
  });
  return Object.assign(base, { config });
}

function wire(deps: CoreDeps, base: Base, makeParts: (services: CoreServices) => Parts) {
  const { clock, logger, settings, api } = deps;
  // The loop's dependencies know one another; what is needed only later is filled in below.
  const loop = { ...deps, ...base, volumeTimeoutMs } as unknown as LoopDeps;
  const workers = makeWorkers(deps, base, loop);
  loop.workers = workers;
  const { view, active, health } = createView(loop, () => base.loopAge(), deps.metrics);
  const control = createPodControl(loop);
  const shutdown = createShutdown({
    active,
    control,
    clock,
    logger,
    events: base.events,
    groups: settings.shutdown,
    held: (uids) => loop.volumes.held(uids),
    changed: () => deps.nodeChanged?.(),
  });
  const services: CoreServices = {
    events: base.events,
    statuses: base.statuses,
    view,
    active,
    control,
    shutdown,
    health,
    runtime: base.runtime,
    images: base.images,
  };
  const made = makeParts(services);
  const parts = { ...made, resources: base.podMetrics.timed(made.resources) };
  base.statuses.subscribe((uid) => {
    const entry = base.statuses.get(uid);
    if (entry !== undefined) base.podMetrics.status(entry.pod, entry.status);
  });
  Object.assign(loop, parts, { api });
  loop.runtime = {
    ...parts,
    runtime: base.runtime,
    actuated: base.allocation,
    onResized: (pod, failure) => base.allocation.setInProgress(pod.metadata.uid ?? '', failure),
    images: imagesOf(deps, base),
    events: base.events,
    clock,
    logger,
    backoff: createBackoff({
      initialMs: Math.min(settings.initialRestartBackoffMs, settings.maxRestartBackoffMs),
      maxMs: settings.maxRestartBackoffMs,
      resetMs: restartResetMs,
    }),
    sandboxes: new Map(),
    podLogs: deps.podLogs,
    containerLogs: deps.containerLogs,
    requestTimeoutMs: settings.runtimeRequestTimeoutMs,
    counters: base.metrics.counters,
  };
  loop.generate = {
    reasons: base.reasons,
    probes: parts.probes,
    runtimeName: base.runtimeState.name,
    hostIps: () => (api === undefined ? [] : deps.nodeIps()),
    resizeConditions: base.allocation.conditions,
    podResources: (pod) => podResources(base, pod),
    now: () => clock.now(),
  };
  registerGauges(deps.metrics, gaugeSources(deps, base));
  registerWorkGauges(deps.metrics, { pods: () => base.pods.pods(), workers: () => workers });
  return { loop, services, parts: made };
}

/** What a pod as a whole was granted and has now. */
function podResources({ allocation }: Base, pod: Pod): Pick<PodStatus, 'resources' | 'allocatedResources'> {
  const granted = allocation.allocated(pod).spec.resources;
  if (granted === undefined) return {};
  return {
    ...(granted.requests === undefined ? {} : { allocatedResources: granted.requests }),
    resources: allocation.actuated(uidOf(pod), podLevel) ?? granted,
  };
}

/** The workers of pods, with what is noted of each turn. */
function makeWorkers({ clock, logger, settings }: CoreDeps, base: Base, loop: LoopDeps) {
  return createPodWorkers({
    syncer: {
      sync(update, status, signal) {
        base.podMetrics.syncing(update.pod);
        return syncPod(loop, update, status, signal);
      },
      terminate: (pod, status, how, signal) => terminatePod(loop, pod, status, how, signal),
      async finish(pod, status, signal) {
        await finishPod(loop, pod, status, signal);
        base.podMetrics.forget(uidOf(pod));
      },
    },
    fresh: base.pleg.fresh,
    clock,
    logger,
    times: { syncMs: settings.syncFrequencyMs, errorMs: 10_000, networkMs: 1000 },
    observe: base.metrics.observeWorker,
    onFinished(uid) {
      const again = beginAgain(loop, uid);
      if (again !== undefined) base.podMetrics.restarted(again);
    },
  });
}

function imagesOf(deps: CoreDeps, base: Base) {
  const { clock, settings, api } = deps;
  return createImageManager({
    images: base.images,
    events: base.events,
    credentials: createPodCredentials({
      api,
      events: base.events,
      directories: [deps.root, '/root/.docker'],
      providers: providersOf(deps),
    }),
    records: createPullRecords(
      join(deps.root, 'image_manager'),
      () => clock.now(),
      settings.imageVerification,
    ),
    rate: createPullRate(settings.pullQps, settings.pullBurst, clock),
    clock,
    parallelPulls: settings.parallelPulls,
    observePull(seconds, bytes, podUid) {
      base.metrics.observePull(seconds, bytes);
      base.podMetrics.pulled(podUid, seconds);
    },
  });
}

/** The programs that know credentials, where any are configured. @throws SkiffError for a wrong configuration. */
function providersOf({ credentialProviders: places, api, clock, logger: log }: CoreDeps) {
  if (places === undefined) return undefined;
  const { configuration, binaryDirectory } = places;
  const providers = loadProviders(configuration, binaryDirectory);
  const accounts = createAccountAsker(api, () => clock.now());
  return createCredentialProviders({ providers, binaryDirectory, accounts, clock, log });
}

function gaugeSources(deps: CoreDeps, { pleg, pods }: Base) {
  const listed = () => [...pleg.pods().values()];
  return {
    nodeName: deps.nodeName,
    runningPods: () => listed().filter(({ sandboxes }) => sandboxes.some(({ ready }) => ready)).length,
    containersByState: () => {
      const counts = new Map<string, number>();
      for (const { state } of listed().flatMap(({ containers }) => containers)) {
        counts.set(state, (counts.get(state) ?? 0) + 1);
      }
      return counts;
    },
    desiredPods: () => {
      const own = pods.pods().filter(isStatic).length;
      return { static: own, api: pods.pods().length - own };
    },
    mirrorPods: () => pods.mirrors().length,
    lastRelistSeconds: () => {
      const at = pleg.lastRelist();
      return at === undefined ? 0 : (deps.clock.now() - (deps.clock.monotonic() - at)) / 1000;
    },
  };
}
