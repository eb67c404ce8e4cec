/**
 * The Kubernetes API for one machine, embedded: HTTPS on loopback, objects in SQLite.
 *
 * - `http/` reads calls, finds their handler and answers; `auth/` says who asks and whether they may.
 * - `verbs/` are what every resource has: create, get, list, watch, update, patch, delete. `kinds/` says what is
 *   special about each; `patch/` and `apply/` are the patch types; `tables/` what kubectl prints.
 * - `pods/` and `metrics/` pass on to the kubelet; `reviews/` answer questions; `discovery/` and `openapi/` describe.
 * - `storage/` keeps the objects; `controllers/` bind, collect and finish what nobody asks for.
 * - `thread/` runs all of it in a thread of its own.
 *
 * A call goes http -> auth -> verbs -> storage; a change comes back through storage's history to every watch.
 */
import { mkdirSync } from 'node:fs';
import type { Server } from 'node:https';
import { dirname, join } from 'node:path';
import { SkiffError } from '#foundation/base/errors.ts';
import type { Logger } from '#foundation/base/log.ts';
import { type Clock, systemClock } from '#foundation/base/time.ts';
import { createAuthenticator } from './auth/authenticate.ts';
import { createAuthorizer, readers } from './auth/authorize.ts';
import { openTokens } from './auth/tokens.ts';
import { controllersOf } from './controllers/all.ts';
import { bootstrap, fillNamespaces } from './controllers/bootstrap.ts';
import { runControllers } from './controllers/controller.ts';
import { createDiscovery } from './discovery/serve.ts';
import { createRoutes } from './http/route.ts';
import { createApiServer } from './http/server.ts';
import { noSuchPath } from './http/status.ts';
import { createRegistry } from './kinds/registry.ts';
import { createMetrics } from './metrics/serve.ts';
import { createOpenApi } from './openapi/serve.ts';
import { type Authority, type KeyPair, openAuthority } from './pki/authority.ts';
import { writeKubeconfig } from './pki/kubeconfig.ts';
import { type ApiPlaces, placesIn } from './places.ts';
import { connectKubelet, type Kubelet, type KubeletEndpoint } from './pods/kubelet.ts';
import { streamed, streamPod } from './pods/stream.ts';
import { openDatabase } from './storage/database.ts';
import { openStore, type Store } from './storage/store.ts';
import type { ApiDeps } from './verbs/deps.ts';

/** What the API is started with. */
export interface KubeApiConfig {
  /** Where objects, keys and kubeconfigs are kept; made if it is missing. */
  directory: string;
  /** `127.0.0.1`. */
  address: string;
  /** 0 takes a free one. */
  port: number;
  /** The one node, whose kubelet may use the node kubeconfig. */
  nodeName: string;
  /** Where that kubelet answers. */
  kubeletEndpoint: KubeletEndpoint;
  logger: Logger;
  clock?: Clock;
}

/** The API. */
export interface KubeApi extends ApiPlaces {
  /** Listens. @throws SkiffError UNAVAILABLE if the port is taken, DATA_LOSS if the objects cannot be read. */
  start(): Promise<void>;
  /** Ends watches and connections, and closes the store. */
  stop(): Promise<void>;
  /** `https://127.0.0.1:PORT`; known after the start. */
  readonly url: string;
  /** Copies all objects into a file while the API runs. */
  backup(path: string): Promise<void>;
}

/** Milliseconds between compactions of the store. */
const compactionMs = 5 * 60_000;

/** Makes the API; nothing is opened before `start`. */
export function createKubeApi(config: KubeApiConfig): KubeApi {
  const places = placesIn(config.directory);
  let running: Running | undefined;
  return {
    start: async () => {
      running = await start(config, places);
    },
    stop: async () => {
      const ending = running;
      running = undefined;
      await ending?.stop();
    },
    get url() {
      return running?.url ?? `https://${config.address}:${config.port}`;
    },
    ...places,
    backup: async (path) => {
      if (running === undefined) throw new SkiffError('UNAVAILABLE', 'the API does not run');
      await running.store.backup(path);
    },
  };
}

interface Running {
  url: string;
  store: Store;
  stop(): Promise<void>;
}

async function start(config: KubeApiConfig, places: ApiPlaces): Promise<Running> {
  const clock = config.clock ?? systemClock;
  const pki = dirname(places.caPath);
  mkdirSync(config.directory, { recursive: true, mode: 0o700 });
  const authority = await openAuthority(pki, clock.now);
  const serving = await authority.ensure('server', {
    commonName: 'kube-apiserver',
    names: [
      ...new Set([
        'localhost',
        'kubernetes',
        'kubernetes.default.svc',
        '127.0.0.1',
        '10.43.0.1',
        config.address,
      ]),
    ],
  });
  const kubeletClient = await authority.ensure('kubelet-client', {
    commonName: 'kube-apiserver-kubelet-client',
    organizations: ['system:masters'],
  });
  const store = openStore(openDatabase(join(config.directory, 'objects.db')));
  const deps: ApiDeps = { store, registry: createRegistry(), clock, logger: config.logger };
  const kubelet = connectKubelet(config.kubeletEndpoint, kubeletClient);
  const stopping = new AbortController();
  const server = wire(deps, { authority, serving, kubelet, pki, stopping: stopping.signal });
  const port = await listen(server, config).catch(async (error: unknown) => {
    store.close();
    await kubelet.close();
    throw error;
  });
  const url = `https://${config.address}:${port}`;
  await writeKubeconfigs(authority, url, config.nodeName, places);
  await bootstrap(deps, port);
  await fillNamespaces(deps, authority.ca);
  // What was there before this start is in lists, not in watches.
  store.history.reset(store.revision());
  const controllers = runControllers(deps, controllersOf(deps, authority), stopping.signal);
  const compaction = setInterval(() => store.compact(), compactionMs);
  return {
    url,
    store,
    stop: async () => {
      clearInterval(compaction);
      stopping.abort();
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      server.closeAllConnections();
      await Promise.all([closed, controllers, kubelet.close()]);
      store.close();
    },
  };
}

function wire(
  deps: ApiDeps,
  parts: { authority: Authority; serving: KeyPair; kubelet: Kubelet; pki: string; stopping: AbortSignal },
): Server {
  const { store, registry, clock, logger } = deps;
  const { authority, kubelet } = parts;
  const tokens = openTokens(join(parts.pki, 'service-accounts.key'), store, clock.now);
  const authorizer = createAuthorizer(store);
  const route = createRoutes({
    api: deps,
    kubelet,
    tokens,
    reviews: { authorizer, tokens },
    discovery: createDiscovery(registry),
    openapi: createOpenApi(registry),
    metrics: createMetrics({ kubelet, store, registry, now: clock.now }),
  });
  return createApiServer({
    tls: { ca: authority.ca, ...parts.serving },
    authenticate: createAuthenticator(tokens),
    authorizer,
    route,
    upgrade: async (request, socket, head) => {
      const { group, version, resource, subresource } = request.target;
      const type = registry.find(group ?? '', version ?? '', resource ?? '');
      if (type?.resource !== 'pods' || !streamed.has(subresource ?? '')) throw noSuchPath();
      await streamPod({ request, type, deps }, kubelet, socket, head);
    },
    logger,
    stopping: parts.stopping,
  });
}

async function listen(server: Server, { address, port }: KubeApiConfig): Promise<number> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error) =>
      reject(
        new SkiffError(
          'UNAVAILABLE',
          `The API cannot listen at ${address}:${port}: ${error.message}; choose another port or end who has it`,
          { cause: error },
        ),
      ),
    );
    server.listen(port, address, resolve);
  });
  const bound = server.address();
  return typeof bound === 'object' && bound !== null ? bound.port : port;
}

async function writeKubeconfigs(
  authority: Authority,
  url: string,
  nodeName: string,
  places: ApiPlaces,
): Promise<void> {
  const node = `system:node:${nodeName}`;
  const users = [
    {
      path: places.adminKubeconfigPath,
      name: 'admin',
      commonName: 'kubernetes-admin',
      organizations: ['system:masters'],
    },
    { path: places.nodeKubeconfigPath, name: node, commonName: node, organizations: ['system:nodes'] },
    { path: places.viewerKubeconfigPath, name: 'viewer', commonName: 'viewer', organizations: [readers] },
  ];
  for (const { path, name, commonName, organizations } of users) {
    const file = name.startsWith('system:node:') ? 'node' : name;
    const pair = await authority.ensure(file, { commonName, organizations });
    writeKubeconfig(path, url, authority.ca, name, pair);
  }
}
