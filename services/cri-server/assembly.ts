/**
 * Puts the parts of the CRI server together: the one file that knows all of them. Each part is given the
 * others' narrow ports; whatever is opened is deferred for closing at once, in `undo`.
 */
import { join } from 'node:path';
import { isSkiffError } from '#foundation/base/errors.ts';
import type { Registry } from '#foundation/base/metrics.ts';
import { removeEmptyCgroup } from '#foundation/linux/cgroups.ts';
import { createSpawner, type Spawner } from '#foundation/linux/spawn.ts';
import { type Containers, createContainers, readHostFacts } from './containers/index.ts';
import { type OwnCgroup, ownCgroup } from './containers/own-cgroup.ts';
import { cgroupPlace, monitorPaths, removeMonitorFiles } from './containers/places.ts';
import type { HostFacts } from './containers/spec/host.ts';
import { createEvents, type Events } from './events/index.ts';
import { createImages, type Images } from './images/index.ts';
import { openPolicy } from './images/policy.ts';
import { createShortNames } from './images/reference-short-names.ts';
import { createRegistryClient } from './images/registry/client.ts';
import { rehearseWhenIdle } from './images/rehearse.ts';
import { collectMetrics, type ServerMetrics } from './metrics/collect.ts';
import { createExecutingRunner } from './network/cni/execute.ts';
import { removeDefaultBridge } from './network/default-bridge.ts';
import { writeDefaultConfig } from './network/default-config.ts';
import { choosePacketFilter } from './network/filter/choose.ts';
import { createPodNetwork, type PodNetwork } from './network/index.ts';
import { createPluginRunner } from './network/plugins/index.ts';
import { containerHooks, openNri, tellStopped } from './nri-wiring.ts';
import { attachName } from './runtimes/conmon.ts';
import { probeRuntimes } from './runtimes/probe.ts';
import { resolveHandler } from './runtimes/resolve.ts';
import { type Runtimes, runtimeTable } from './runtimes/table.ts';
import { createSandboxes, createSandboxHost, type SandboxService } from './sandboxes/index.ts';
import { createPauseDriver, type PauseDriver } from './sandboxes/pause.ts';
import { tryUserNamespace } from './sandboxes/user-namespace.ts';
import { openSelinux, type Selinux } from './selinux/policy.ts';
import type { CriServerConfig } from './server-config.ts';
import { createStats, type Stats } from './stats/index.ts';
import { openStore, type Store } from './store/store.ts';
import { createStreamingServer, type StreamingServer } from './streaming/index.ts';

/** Milliseconds after which a CNI plugin that hangs is killed. */
const pluginTimeoutMs = 60_000;

/** Where the aliases of short image names lie: containers-registries.conf(5). */
const shortNameFiles = ['/etc/containers/registries.conf', '/etc/containers/registries.conf.d'];

/** Where podman's and CRI-O's users keep what images may be pulled. */
const machinePolicy = '/etc/containers/policy.json';

/** All parts of a CRI server, recovered and ready to serve. */
export interface Assembly {
  store: Pick<Store, 'synced'>;
  runtimes: Runtimes;
  images: Images;
  network: PodNetwork;
  sandboxes: SandboxService;
  containers: Containers;
  streaming: StreamingServer;
  events: Events;
  stats: Stats;
}

/**
 * Opens and recovers all parts.
 *
 * @param registry gets the server's metrics.
 * @param undo gets what closes them; sandboxes and containers live on.
 */
export async function assemble(
  config: CriServerConfig,
  registry: Registry,
  undo: AsyncDisposableStack,
): Promise<Assembly> {
  const { paths, log } = config;
  const database = join(paths.lib, 'cri.db');
  const spawner = undo.use(createSpawner());
  const store = undo.use(openStore(database, { grouped: true }));
  // Files of images are deleted on the strength of their records: each of these waits for the disk, and with it for
  // all that was written before it, since there is one log: whoever deletes a layer that no root has any more too.
  const images = openImages(config, { own: undo.use(openStore(database)), grouped: store }, undo);
  const mappedRoots = await tryUserNamespace(spawner, (path) => images.canMapIds(path));
  const [runtimes, network] = await Promise.all([
    openRuntimes(config, spawner, mappedRoots === true, undo),
    openNetwork(config, undo),
  ]);
  const host = readHostFacts();
  const selinux = openSelinux();
  const own = ownCgroup(host.cgroups, paths.tag);
  const events = createEvents({
    sandbox: (id) => sandboxes.find(id),
    containersOf: (id) => containers.core.table.list().filter(({ record }) => record.sandboxId === id),
  });
  const nri = openNri({ config, spawner, host, sandboxes: () => sandboxes, core: () => containers.core });
  const sandboxes: SandboxService = createSandboxes({
    store,
    run: paths.run,
    host: createSandboxHost(paths.run, openPause(config, runtimes, host, own, selinux), spawner, selinux),
    network,
    containers: () => containers.ofSandboxes,
    hooks: nri.sandboxHooks,
    resolveHandler: (name, pod) => resolveHandler(runtimes, config.runtimes, name, pod),
    pods: (handler) => runtimes.find(handler)?.pods,
    selinux,
    emit: events.sandboxEvent,
    log,
  });
  undo.defer(() => sandboxes.close());
  undo.defer(() => removeUnusedNetwork(config, sandboxes));
  const metrics = undo.use(openMetrics(registry, sandboxes, () => containers, images));
  const containers: Containers = createContainers({
    store,
    paths,
    images,
    sandboxes,
    runtimes,
    spawner,
    host,
    selinux,
    ownCgroup: own,
    log,
    hooks: containerHooks(() => containers.core, nri),
    onEvent: (event, container) => {
      events.containerEvent(event, container);
      if (event !== 'stopped') return;
      metrics.stopped(container);
      tellStopped(containers.core, nri, container);
    },
    cdiDirectories: config.cdiDirectories,
  });
  undo.use(containers);
  await sandboxes.recover();
  await containers.recover();
  undo.use(nri);
  await nri.start();
  const stats = undo.use(openStats(config, { runtimes, images, sandboxes, containers }));
  const streaming = await openStreaming(config, containers, undo);
  undo.use(rehearseWhenIdle((signal) => images.rehearse(signal)));
  return { store, runtimes, images, network, sandboxes, containers, streaming, events, stats };
}

function openImages(
  { paths, log, registry, signaturePolicy = machinePolicy }: CriServerConfig,
  stores: { own: Store; grouped: Store },
  undo: AsyncDisposableStack,
): Images {
  const client = createRegistryClient(registry);
  undo.defer(() => client.close());
  const images = createImages({
    directory: join(paths.lib, 'images'),
    store: stores.own,
    groupedStore: stores.grouped,
    registry: client,
    logger: log,
    shortNames: createShortNames({ files: shortNameFiles }),
    policy: openPolicy(signaturePolicy),
  });
  undo.defer(() => images.close());
  return images;
}

function openStats(
  { paths }: CriServerConfig,
  {
    runtimes,
    images,
    sandboxes,
    containers,
  }: Pick<Assembly, 'runtimes' | 'images' | 'sandboxes' | 'containers'>,
): Stats {
  const { table, host } = containers.core;
  return createStats({
    table,
    sandboxes,
    images,
    cgroups: host.cgroups,
    pods: (runtime) => runtimes.find(runtime)?.pods,
    rootsDirectory: join(paths.lib, 'images'),
  });
}

function openMetrics(
  registry: Registry,
  sandboxes: SandboxService,
  containers: () => Containers,
  images: Images,
): ServerMetrics {
  return collectMetrics({
    registry,
    sandboxes: () => sandboxes.list(),
    containers: () => containers().core.table.list(),
    images: () => images.list(),
    pulls: images.board,
  });
}

async function openStreaming(
  { streaming, log }: CriServerConfig,
  containers: Containers,
  undo: AsyncDisposableStack,
): Promise<StreamingServer> {
  const server = createStreamingServer({ runtime: containers.streaming, log, ...streaming });
  await server.listen();
  undo.defer(() => server.close());
  return server;
}

async function openRuntimes(
  { paths, runtimes = {}, log }: CriServerConfig,
  spawner: Spawner,
  mappedRoots: boolean,
  undo: AsyncDisposableStack,
): Promise<Runtimes> {
  const sealed = undo.use(new DisposableStack());
  const probes = await probeRuntimes({
    spawner,
    paths: monitorPaths(paths),
    stateRoot: join(paths.run, 'runtimes'),
    tag: paths.tag,
    mappedRoots,
    sealed,
    ...(runtimes.candidates === undefined ? {} : { candidates: runtimes.candidates }),
    ...(runtimes.vmsAhead === undefined ? {} : { vmsAhead: runtimes.vmsAhead }),
  });
  for (const probe of probes)
    if (!probe.usable)
      log.info(
        { runtime: probe.name, reason: probe.reason, remedy: probe.remedy },
        'OCI runtime is left out',
      );
  for (const probe of probes) if (probe.usable) undo.defer(() => probe.driver.pods?.close());
  return runtimeTable(probes, runtimes.preferred);
}

async function openNetwork(
  { cni, paths, log }: CriServerConfig,
  undo: AsyncDisposableStack,
): Promise<PodNetwork> {
  const { configDir, binDirs, writeDefault, subnet } = cni;
  if (writeDefault)
    writeDefaultConfig({
      configDir,
      dataDir: leasesIn(paths),
      tag: paths.tag,
      ...(subnet ? { subnet } : {}),
    });
  const filter = await choosePacketFilter(paths.tag);
  const execute = createExecutingRunner({ binDirs, timeoutMs: pluginTimeoutMs });
  const network = createPodNetwork({ configDir, runner: createPluginRunner(execute, filter), log });
  undo.defer(() => network.close());
  return network;
}

/** Where the addresses in use of the default configuration are recorded. */
export function leasesIn({ lib }: CriServerConfig['paths']): string {
  return join(lib, 'cni', 'networks');
}

/** A root without sandboxes leaves neither bridge nor rules on the machine. */
async function removeUnusedNetwork({ paths }: CriServerConfig, sandboxes: SandboxService): Promise<void> {
  if (sandboxes.visible().length > 0) return;
  removeDefaultBridge(paths.tag);
  await (await choosePacketFilter(paths.tag)).clear();
}

function openPause(
  config: CriServerConfig,
  runtimes: Runtimes,
  host: HostFacts,
  own: OwnCgroup,
  selinux: Selinux | undefined,
): PauseDriver {
  const { paths } = config;
  const monitor = monitorPaths(paths);
  return createPauseDriver({
    run: paths.run,
    selinux,
    program: config.runtimes?.pauseProgram ?? '/usr/bin/catatonit',
    runtime: (handler) => runtimes.driver(handler),
    cgroupPath: (parent, id) => cgroupPlace(parent, id, paths.tag, host.cgroupDriver).spec,
    forget: (parent, id) => {
      removeMonitorFiles(monitor, attachName(id), id);
      removeEmptyCgroup(host.cgroups, cgroupPlace(parent, id, paths.tag, host.cgroupDriver).path);
      own.removeIfUnused();
    },
    holdCgroup: () => own.hold(),
  });
}

/** Why no container can run; undefined if they can. */
export function runtimeProblem(runtimes: Runtimes): string | undefined {
  try {
    runtimes.defaultHandler();
    return undefined;
  } catch (error) {
    return isSkiffError(error) ? error.message : String(error);
  }
}
