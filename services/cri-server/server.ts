/**
 * The CRI server: locks its root, has its parts put together and recovered (`assembly.ts`), and only then
 * listens. `rpc/` answers Kubernetes' calls; the parts' own folders hold the rest of the handlers.
 */
import { chmodSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { Images as AdminImages } from '#contracts/admin/admin_pb.ts';
import { ImageService, RuntimeService } from '#contracts/cri/runtime_pb.ts';
import { makeDirectories } from '#foundation/base/directories.ts';
import { SkiffError } from '#foundation/base/errors.ts';
import { createRegistry, type Registry } from '#foundation/base/metrics.ts';
import { createRpcServer, type RpcServer } from '#foundation/grpc/server.ts';
import { lockFile } from '#foundation/linux/file-lock.ts';
import { prepareNamespaces } from '#foundation/linux/namespaces.ts';
import { type Assembly, assemble, leasesIn, runtimeProblem } from './assembly.ts';
import { adminHandlers } from './images/admin.ts';
import { imageHandlers } from './images/rpc.ts';
import { serveMetrics } from './metrics/serve.ts';
import { removeDefaultBridge } from './network/default-bridge.ts';
import { applyPodCidr, type PodCidrDeps } from './network/pod-cidr.ts';
import { acknowledgeOnDisk } from './rpc/acknowledge.ts';
import { createCallObserver } from './rpc/observe.ts';
import { runtimeHandlers } from './rpc/runtime.ts';
import { sandboxHandlers } from './rpc/sandboxes.ts';
import { streamingChecks } from './rpc/streaming.ts';
import type { CriServerConfig } from './server-config.ts';
import { streamingHandlers } from './streaming/rpc.ts';

export type * from './server-config.ts';

/** Milliseconds that calls under way have to end when the server stops, and cancelled ones to undo what they began. */
const [graceMs, settleMs] = [2000, 20_000];

/** A CRI server. */
export interface CriServer {
  /** Recovers, then serves on the socket. @throws SkiffError ALREADY_EXISTS if another server has this root. */
  listen(): Promise<void>;
  /** Stops serving. Sandboxes and containers live on. */
  close(): Promise<void>;
  /** `unix:///run/skiff/cri.sock`. */
  readonly endpoint: string;
  readonly metrics: Registry;
}

/** Makes a CRI server that does not serve yet. */
export function createCriServer(config: CriServerConfig): CriServer {
  const metrics = createRegistry();
  const observer = createCallObserver(config.log, metrics);
  const endpoint = `unix://${config.paths.criSocket}`;
  let stop: (() => Promise<void>) | undefined;
  return {
    endpoint,
    metrics,
    async listen() {
      if (stop !== undefined) throw new SkiffError('FAILED_PRECONDITION', 'The CRI server listens already');
      await using undo = new AsyncDisposableStack();
      await start(config, createRpcServer(observer), metrics, undo);
      const running = undo.move();
      stop = () => running.disposeAsync();
    },
    async close() {
      const stopping = stop;
      stop = undefined;
      await stopping?.();
    },
  };
}

async function start(
  config: CriServerConfig,
  rpc: RpcServer,
  metrics: Registry,
  undo: AsyncDisposableStack,
): Promise<void> {
  const { paths } = config;
  makeDirectories(paths.run, 0o711);
  makeDirectories(paths.lib, 0o711);
  undo.use(lockFile(join(paths.run, 'cri.lock'), `A CRI server of ${paths.root}`));
  await prepareNamespaces();
  addServices(rpc, config, await assemble(config, metrics, undo));
  if (config.metrics !== undefined) {
    const { url } = undo.use(await serveMetrics(metrics, config.metrics));
    config.log.info({ url }, 'metrics are served');
  }
  rmSync(paths.criSocket, { force: true }); // Of a killed run: nobody else can hold the lock now.
  undo.defer(() => rmSync(paths.criSocket, { force: true }));
  undo.defer(() => rpc.close(graceMs, settleMs));
  await rpc.listen(`unix://${paths.criSocket}`);
  chmodSync(paths.criSocket, 0o660);
}

function addServices(rpc: RpcServer, config: CriServerConfig, parts: Assembly): void {
  const { version, paths } = config;
  const { store, runtimes, network, sandboxes, containers, images, streaming, events, stats } = parts;
  const usable = runtimes.usable().map(({ name, driver }) => {
    const { recursiveReadOnly, userNamespaces } = driver.features;
    return [name, { recursiveReadOnlyMounts: recursiveReadOnly, userNamespaces }] as const;
  });
  const handlers = {
    ...runtimeHandlers({
      version,
      handlers: new Map(usable),
      network,
      usePodCidr: (podCidr) => applyPodCidr(podCidrDeps(config, parts), podCidr),
      runtimeProblem: () => runtimeProblem(runtimes),
      configuration: { stateDir: paths.run, rootDir: paths.lib },
    }),
    ...sandboxHandlers(sandboxes, (id) => containers.statusesIn(id)),
    ...containers.handlers,
    ...events.handlers,
    ...stats.handlers,
    ...streamingHandlers({ streaming, ...streamingChecks(containers.core.table, sandboxes) }),
  };
  rpc.add(RuntimeService, acknowledgeOnDisk(handlers, store.synced));
  rpc.add(ImageService, imageHandlers(images));
  rpc.add(AdminImages, adminHandlers(images));
}

function podCidrDeps(
  { cni, paths, log }: CriServerConfig,
  { network, sandboxes }: Pick<Assembly, 'network' | 'sandboxes'>,
): PodCidrDeps {
  const { configDir, template, writeDefault } = cni;
  const { tag } = paths;
  const own = { dataDir: leasesIn(paths), tag, removeBridge: () => removeDefaultBridge(tag) };
  return {
    configDir,
    ...(template === undefined ? {} : { template }),
    ...(writeDefault ? { own } : {}),
    network,
    inUse: () => sandboxes.list().some(({ ips }) => ips.length > 0),
    log,
  };
}
