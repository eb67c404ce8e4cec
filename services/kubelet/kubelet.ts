/**
 * The kubelet: the half of the node that decides. Pods come from manifests and an API server, and are kept
 * running through any CRI runtime. `createKubelet` wires everything; see `core.ts` for how the data flows.
 */
import { join } from 'node:path';
import type { CriClient } from '#contracts/cri/client.ts';
import { type Alarm, createAlarm } from '#foundation/base/alarm.ts';
import type { Logger } from '#foundation/base/log.ts';
import { createRegistry } from '#foundation/base/metrics.ts';
import type { Paths } from '#foundation/base/paths.ts';
import type { Clock } from '#foundation/base/time.ts';
import { undoStack } from '#foundation/base/undo.ts';
import { clientWish } from './api/certificates/request.ts';
import { keepCertificate } from './api/certificates/rotate.ts';
import { openCertificates } from './api/certificates/store.ts';
import { createApiEventSink } from './api/event-sink.ts';
import { keepNode } from './api/node-keeper.ts';
import { decodePod, decodePods } from './config/decode.ts';
import type { KubeletConfiguration } from './configuration/defaults.ts';
import { durationMs } from './configuration/duration.ts';
import { withoutEffect } from './configuration/without-effect.ts';
import { createCore } from './core.ts';
import {
  type CoreServices,
  type CoreSettings,
  type CredentialProviderPlaces,
  defaultSettings,
} from './core-deps.ts';
import type { EventSink } from './events/recorder.ts';
import { createKeepers } from './keepers.ts';
import { type KubeletParts, type LateFacts, makeParts } from './parts.ts';
import type { KubeletApi } from './ports.ts';
import { askDriver } from './resources/ask-driver.ts';
import { type ShutdownGroup, shutdownGroups } from './sync-loop/shutdown.ts';

export interface KubeletDeps {
  paths: Paths;
  /** The runtime and image services of any CRI runtime. */
  cri: Pick<CriClient, 'runtime' | 'images'>;
  configuration: KubeletConfiguration;
  /** Absent when the kubelet stands alone. */
  api?: KubeletApi;
  clock: Clock;
  logger: Logger;
  nodeName: string;
  /** `--node-ip`; found out if left out. */
  nodeIps?: readonly string[];
  nodeLabels?: Readonly<Record<string, string>>;
  /** Refuse machines with cgroup version 1; served unless told. */
  failCgroupV1?: boolean;
  /** The handler of a RuntimeClass; its own name unless told. @throws SkiffError NOT_FOUND. */
  runtimeHandler?: (runtimeClass: string) => Promise<string>;
  /** Where events go besides the log and the API. */
  eventSinks?: EventSink[];
  /** Programs that know credentials of registries. */
  credentialProviders?: CredentialProviderPlaces;
  /** Figures that replace those of the configuration; for tests. */
  settings?: Partial<CoreSettings>;
}

export interface Kubelet {
  /** Begins; resolves when sources are being read. @throws SkiffError when this machine cannot do it. */
  start(): Promise<void>;
  /** Ends all pods before the node goes down: by priority, each group within its time. */
  shutdownNode(): Promise<void>;
  /** Stops deciding. Containers go on, as after a crash. */
  stop(): Promise<void>;
  /** What the HTTP server and the command line see. */
  readonly services: CoreServices;
  readonly parts: KubeletParts;
  /** The ports of the HTTP API, by what they serve: `secure`, `readonly`, `healthz`. */
  ports(): ReadonlyMap<string, number>;
}

export function createKubelet(deps: KubeletDeps): Kubelet {
  const { configuration, paths, clock } = deps;
  for (const field of withoutEffect(configuration))
    deps.logger.warn({ field }, 'a field of the configuration has no effect here');
  const late: LateFacts = {
    driver: configuration.cgroupDriver,
    pressure: () => ({ memory: false, disk: false, pid: false }),
    shuttingDown: () => undefined,
    nodeAlarm: createAlarm(),
  };
  const passedOver = (problem: string) => deps.logger.warn({ problem }, 'Part of a manifest is passed over');
  let parts: KubeletParts | undefined;
  const stopping = new AbortController();
  let node: Promise<void> = Promise.resolve();
  const core = createCore(
    {
      nodeName: deps.nodeName,
      root: paths.kubelet,
      podLogs: configuration.podLogsDir === '/var/log/pods' ? paths.podLogs : configuration.podLogsDir,
      containerLogs: paths.containerLogs,
      cri: deps.cri,
      clock,
      logger: deps.logger,
      metrics: createRegistry(),
      settings: { ...settingsOf(configuration), ...deps.settings },
      manifests: {
        path: configuration.staticPodPath || undefined,
        url: configuration.staticPodURL || undefined,
        urlHeaders: configuration.staticPodURLHeader,
      },
      decodePod: (text, name) => decodePod(text, name, passedOver),
      decodePods: (text, name) => decodePods(text, name, passedOver),
      api: deps.api,
      credentialProviders: deps.credentialProviders,
      eventSinks: [...(deps.eventSinks ?? []), ...apiSinks(deps, stopping.signal)],
      nodeIps: () => parts?.node.ips() ?? [],
      nodeChanged: late.nodeAlarm.ring,
    },
    (services) => {
      parts = makeParts(deps, services, late);
      return parts;
    },
  );
  late.shuttingDown = () => (core.services.shutdown.begun() ? 'node is shutting down' : undefined);
  const keepers = createKeepers(deps, core.services, core.parts as KubeletParts, late);
  return {
    services: core.services,
    parts: core.parts as KubeletParts,
    ports: keepers.ports,
    shutdownNode: () => core.services.shutdown.begin(),
    async start() {
      late.driver = await askDriver({ ...deps, runtime: deps.cri.runtime }, late.driver);
      await using undo = undoStack();
      undo.defer('stop the core', core.stop);
      await core.start();
      await keepers.start();
      undo.commit();
      node = startNode(deps, core.parts as KubeletParts, late.nodeAlarm, stopping.signal);
    },
    async stop() {
      stopping.abort(new Error('the kubelet is being stopped'));
      await node;
      await keepers.stop();
      await core.stop();
    },
  };
}

/** Events go to the API where there is one. */
function apiSinks({ api, clock, logger, configuration }: KubeletDeps, signal: AbortSignal): EventSink[] {
  if (api === undefined) return [];
  const { eventRecordQPS: qps, eventBurst: burst } = configuration;
  return [createApiEventSink({ api, clock, logger, qps, burst }, signal)];
}

/** Registers the node and keeps its status, its lease and its certificate, where there is an API. */
async function startNode(
  { api, clock, logger, configuration, paths, nodeName }: KubeletDeps,
  { node }: KubeletParts,
  alarm: Alarm,
  signal: AbortSignal,
): Promise<void> {
  if (api === undefined) return;
  const store = openCertificates(join(paths.kubelet, 'pki'), 'kubelet-client');
  // What the cluster gave is renewed; calls take a new certificate up by themselves, from its file.
  const renewing =
    configuration.rotateCertificates && store.current() !== undefined
      ? keepCertificate(
          { api, clock, logger, store },
          () => clientWish(nodeName),
          () => {},
          signal,
        )
      : undefined;
  const deps = {
    api,
    node,
    alarm,
    clock,
    logger,
    register: configuration.registerNode,
    updateMs: durationMs(configuration.nodeStatusUpdateFrequency),
    reportMs: durationMs(configuration.nodeStatusReportFrequency),
    durationSeconds: configuration.nodeLeaseDurationSeconds,
  };
  await Promise.all([keepNode(deps, signal), renewing]);
}

/** The configuration's figures in milliseconds. */
function settingsOf(configuration: KubeletConfiguration): CoreSettings {
  const restart = configuration.crashLoopBackOff?.maxContainerRestartPeriod;
  return {
    ...defaultSettings,
    syncFrequencyMs: durationMs(configuration.syncFrequency),
    fileCheckMs: durationMs(configuration.fileCheckFrequency),
    httpCheckMs: durationMs(configuration.httpCheckFrequency),
    runtimeRequestTimeoutMs: durationMs(configuration.runtimeRequestTimeout),
    maxRestartBackoffMs: restart === undefined ? defaultSettings.maxRestartBackoffMs : durationMs(restart),
    parallelPulls: configuration.serializeImagePulls ? 1 : (configuration.maxParallelImagePulls ?? Infinity),
    pullQps: configuration.registryPullQPS,
    pullBurst: configuration.registryBurst,
    imageVerification: {
      policy: configuration.imagePullCredentialsVerificationPolicy,
      allowlist: configuration.preloadedImagesVerificationAllowlist ?? [],
    },
    evented: configuration.featureGates?.EventedPLEG !== false,
    shutdown: groupsOf(configuration),
  };
}

/** The shutdown groups of the configuration; the default's where it has none. */
function groupsOf(configuration: KubeletConfiguration): ShutdownGroup[] {
  const byPriority = configuration.shutdownGracePeriodByPodPriority ?? [];
  if (byPriority.length > 0) {
    return byPriority.map(({ priority, shutdownGracePeriodSeconds }) => ({
      priority,
      periodMs: shutdownGracePeriodSeconds * 1000,
    }));
  }
  const whole = durationMs(configuration.shutdownGracePeriod || '0s');
  if (whole === 0) return [...defaultSettings.shutdown];
  return shutdownGroups(whole, durationMs(configuration.shutdownGracePeriodCriticalPods || '0s'));
}
