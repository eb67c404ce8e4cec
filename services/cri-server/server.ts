/**
 * The CRI server, put together: the one file that knows all of its parts. Each part is given the others' narrow
 * ports. Order: lock the root, open the store, recover what an earlier run left, and only then listen.
 */
import { chmodSync, mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { RuntimeService } from '#contracts/cri/runtime_pb.ts';
import { SkiffError } from '#foundation/base/errors.ts';
import { createRegistry, type Registry } from '#foundation/base/metrics.ts';
import { createRpcServer } from '#foundation/grpc/server.ts';
import { lockFile } from '#foundation/linux/file-lock.ts';
import { prepareNamespaces } from '#foundation/linux/namespaces.ts';
import { createExecutingRunner } from './network/cni/execute.ts';
import { removeDefaultBridge } from './network/default-bridge.ts';
import { writeDefaultConfig } from './network/default-config.ts';
import { choosePacketFilter } from './network/filter/choose.ts';
import type { PacketFilter } from './network/filter/index.ts';
import { createPodNetwork } from './network/index.ts';
import { createPluginRunner } from './network/plugins/index.ts';
import { createCallObserver } from './rpc/observe.ts';
import { runtimeHandlers } from './rpc/runtime.ts';
import { sandboxHandlers } from './rpc/sandboxes.ts';
import { createSandboxes, createSandboxHost } from './sandboxes/index.ts';
import type { CriServerConfig } from './server-config.ts';
import { openStore } from './store/store.ts';

export type { CniConfig, CriServerConfig } from './server-config.ts';

/** Milliseconds after which a CNI plugin that hangs is killed. */
const pluginTimeoutMs = 60_000;

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
  const { paths } = config;
  const metrics = createRegistry();
  const endpoint = `unix://${paths.criSocket}`;
  let stop: (() => Promise<void>) | undefined;
  return {
    endpoint,
    metrics,
    async listen() {
      if (stop !== undefined) throw new SkiffError('FAILED_PRECONDITION', 'The CRI server listens already');
      await using undo = new AsyncDisposableStack();
      await start(config, metrics, endpoint, undo);
      const running = undo.move();
      stop = () => running.disposeAsync();
    },
    async close() {
      await stop?.();
      stop = undefined;
    },
  };
}

async function start(
  config: CriServerConfig,
  metrics: Registry,
  endpoint: string,
  undo: AsyncDisposableStack,
): Promise<void> {
  const { paths, log } = config;
  mkdirSync(paths.run, { recursive: true, mode: 0o711 });
  mkdirSync(paths.lib, { recursive: true, mode: 0o700 });
  undo.use(lockFile(join(paths.run, 'cri.lock'), `A CRI server of ${paths.root}`));
  await prepareNamespaces();
  const store = undo.use(openStore(join(paths.lib, 'cri.db')));
  const filter = await choosePacketFilter(paths.tag);
  const network = openNetwork(config, filter);
  undo.defer(() => network.close());
  const sandboxes = createSandboxes({
    store,
    run: paths.run,
    host: createSandboxHost(paths.run, noPause),
    network,
    containers: () => ({ killAll: async () => {}, removeAll: async () => {} }),
    hooks: { run: async () => {}, stop: async () => {}, remove: async () => {} },
    resolveHandler: (name) => name || 'runc',
    emit: () => {},
    log,
  });
  await sandboxes.recover();
  undo.defer(async () => {
    if (sandboxes.visible().length > 0) return;
    removeDefaultBridge(paths.tag);
    await filter.clear();
  });
  const rpc = createRpcServer(createCallObserver(log, metrics));
  rpc.add(RuntimeService, {
    ...runtimeHandlers({
      version: config.version,
      handlers: new Map([['runc', { recursiveReadOnlyMounts: true, userNamespaces: true }]]),
      defaultHandler: 'runc',
      network,
      runtimeProblem: () => undefined,
      configuration: { stateDir: paths.run, rootDir: paths.lib },
    }),
    ...sandboxHandlers(sandboxes),
  });
  rmSync(paths.criSocket, { force: true }); // Of a killed run: nobody else can hold the lock now.
  undo.defer(() => rmSync(paths.criSocket, { force: true }));
  await rpc.listen(endpoint);
  undo.defer(() => rpc.close());
  chmodSync(paths.criSocket, 0o660);
}

function openNetwork({ cni, paths, log }: CriServerConfig, filter: PacketFilter) {
  const { configDir, binDirs, writeDefault } = cni;
  if (writeDefault)
    writeDefaultConfig({ configDir, dataDir: join(paths.lib, 'cni', 'networks'), tag: paths.tag });
  const execute = createExecutingRunner({ binDirs, timeoutMs: pluginTimeoutMs });
  return createPodNetwork({ configDir, runner: createPluginRunner(execute, filter), log });
}

const noPause = {
  start: async () => {
    throw new SkiffError('UNIMPLEMENTED', 'A shared PID namespace is not implemented yet');
  },
  stop: async () => {},
  alive: () => true,
};
