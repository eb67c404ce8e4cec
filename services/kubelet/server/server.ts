/**
 * The kubelet's HTTP API: 10250 with TLS and authorization, the read-only port, the health port, and a unix socket
 * for this machine's own tools. The routes are the same table cut differently for each.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { CriClient } from '#contracts/cri/client.ts';
import type { Logger } from '#foundation/base/log.ts';
import { Counter } from '#foundation/base/metrics.ts';
import type { Clock } from '#foundation/base/time.ts';
import { undoStack } from '#foundation/base/undo.ts';
import { servingWish } from '../api/certificates/request.ts';
import { keepCertificate } from '../api/certificates/rotate.ts';
import { openCertificates } from '../api/certificates/store.ts';
import type { KubeletConfiguration } from '../configuration/defaults.ts';
import { durationMs } from '../configuration/duration.ts';
import type { KubeletApi, KubeletView, NodeInfo } from '../ports.ts';
import { createAuthenticator } from './auth/authenticate.ts';
import { createAuthorizer } from './auth/authorize.ts';
import { serverCertificate } from './certificate.ts';
import { createDispatch, type DispatchDeps } from './dispatch.ts';
import { type Listening, listenTcp, listenUnix } from './listen.ts';
import type { Route } from './router.ts';
import { containerLogRoutes } from './routes/container-logs.ts';
import { healthRoutes } from './routes/health.ts';
import { openJournal } from './routes/node-journal.ts';
import { nodeLogRoutes } from './routes/node-logs.ts';
import { podRoutes } from './routes/pods.ts';
import { profilingRoutes, verbosityRoute } from './routes/profiling.ts';
import { runRoutes } from './routes/run.ts';
import { streamingRoutes } from './routes/streaming.ts';
import { zpageRoutes } from './routes/zpages.ts';
import { tlsOptions } from './tls.ts';

/** What the server needs. */
export interface ServerDeps {
  configuration: KubeletConfiguration;
  kubeletRoot: string;
  hostname: string;
  /** The node's log directory: `/var/log`. */
  logRoot: string;
  /** The program that reads the journal for log queries; journalctl(1) unless told. */
  journalctl?: string;
  /** `<run>/kubelet.sock`. */
  socket: string;
  view: KubeletView;
  node: Pick<NodeInfo, 'name' | 'ips'>;
  cri: CriClient['runtime'];
  /** Statistics and metrics: `createStatRoutes` makes them. */
  statRoutes: readonly Route[];
  /** Undefined without an API server: then only what needs none is let in. */
  api: Pick<KubeletApi, 'request'> | undefined;
  clock: Clock;
  log: Logger;
}

/** The running server. */
export interface KubeletServer {
  /** Opens all listeners that are configured. @throws SkiffError UNAVAILABLE for an address that is taken. */
  start(): Promise<void>;
  /** Closes them; connections under way are cut. */
  stop(): Promise<void>;
  /** The ports that are open, by what they serve: `secure`, `readonly`, `healthz`. */
  ports(): ReadonlyMap<string, number>;
}

/** Makes the server; it does not listen yet. */
export function createKubeletServer(deps: ServerDeps): KubeletServer {
  const open = new Map<string, Listening>();
  return {
    async start() {
      await using undo = undoStack();
      for (const [name, listen] of listeners(deps)) {
        const listening = await listen();
        open.set(name, listening);
        undo.defer(`close the ${name} listener`, async () => {
          open.delete(name);
          await listening.close();
        });
      }
      undo.commit();
    },
    async stop() {
      await Promise.all([...open.values()].map((each) => each.close()));
      open.clear();
    },
    ports: () =>
      new Map([...open].filter(([, { port }]) => port > 0).map(([name, { port }]) => [name, port])),
  };
}

function listeners(deps: ServerDeps): [string, () => Promise<Listening>][] {
  const { configuration } = deps;
  const requests = new Counter({
    name: 'kubelet_http_requests_total',
    help: 'HTTP requests by method, path and server',
    labelNames: ['method', 'path', 'server_type', 'long_running'],
    registers: [deps.view.metrics],
  });
  const dispatch = (parts: Omit<DispatchDeps, 'log' | 'count'>) =>
    createDispatch({ ...parts, log: deps.log, count: (labels) => requests.inc(labels) });
  const health = healthRoutes({ configuration, health: deps.view.health });
  const pods = podRoutes(deps.view);
  const debugging = debuggingRoutes(deps);
  const zpages = zpageRoutes({ ...deps, paths: () => [...all, ...debugging].map(({ path }) => path) });
  const all: Route[] = [...health, ...pods, ...deps.statRoutes, ...zpages];
  const list: [string, () => Promise<Listening>][] = [];
  if (deps.socket !== '')
    list.push([
      'socket',
      () => listenUnix(deps.socket, dispatch({ serverType: 'local', routes: [...all, ...debugging] })),
    ]);
  if (configuration.enableServer) {
    const on = configuration.enableDebuggingHandlers;
    const routes = on ? [...all, ...debugging] : all;
    list.push([
      'secure',
      () =>
        listenSecure(deps, (guard) =>
          dispatch({ serverType: 'readwrite', routes, disabled: on ? [] : debugging, guard }),
        ),
    ]);
    const { address: host, readOnlyPort: port } = configuration;
    const open = [
      ...health.filter(({ path }) => path !== '/configz'),
      ...pods.filter(({ path }) => path === '/pods'),
      ...deps.statRoutes,
    ];
    if (port > 0)
      list.push([
        'readonly',
        () =>
          listenTcp({ host, port }, dispatch({ serverType: 'readonly', routes: open, disabled: debugging })),
      ]);
  }
  const { healthzPort, healthzBindAddress } = configuration;
  const ping = health.filter(({ path }) => path.startsWith('/healthz'));
  if (healthzPort > 0)
    list.push([
      'healthz',
      () =>
        listenTcp(
          { host: healthzBindAddress, port: healthzPort },
          dispatch({ serverType: 'healthz', routes: ping }),
        ),
    ]);
  return list;
}

function debuggingRoutes(deps: ServerDeps): Route[] {
  const { enableSystemLogHandler, enableSystemLogQuery, enableProfilingHandler, enableDebugFlagsHandler } =
    deps.configuration;
  return [
    ...containerLogRoutes(deps),
    ...runRoutes(deps),
    ...streamingRoutes({ ...deps, idleMs: durationMs(deps.configuration.streamingConnectionIdleTimeout) }),
    ...(enableSystemLogHandler
      ? nodeLogRoutes(
          deps.logRoot,
          enableSystemLogQuery ? openJournal(deps.journalctl ?? 'journalctl') : undefined,
        )
      : []),
    ...(enableProfilingHandler ? profilingRoutes(deps) : []),
    ...(enableDebugFlagsHandler ? [verbosityRoute(deps)] : []),
  ];
}

async function listenSecure(
  deps: ServerDeps,
  dispatch: (guard: NonNullable<DispatchDeps['guard']>) => ReturnType<typeof createDispatch>,
): Promise<Listening> {
  const { configuration, api, clock, node, kubeletRoot, hostname } = deps;
  const { clientCAFile } = configuration.authentication.x509;
  const certificate = await serverCertificate({
    certFile: configuration.tlsCertFile ?? '',
    keyFile: configuration.tlsPrivateKeyFile ?? '',
    directory: join(kubeletRoot, 'pki'),
    hostname,
    addresses: node.ips(),
  });
  const guard = {
    authenticate: createAuthenticator({ configuration: configuration.authentication, api, clock }),
    authorize: createAuthorizer({
      configuration: configuration.authorization,
      api,
      nodeName: node.name,
      clock,
    }),
  };
  const tls = {
    ...certificate,
    ...tlsOptions(configuration),
    // Certificates are asked for, not required: tokens come too. What is not verified does not count.
    requestCert: clientCAFile !== '',
    rejectUnauthorized: false,
    ca: clientCAFile === '' ? undefined : readFileSync(clientCAFile),
  };
  const where = { host: configuration.address, port: configuration.port };
  const listening = await listenTcp(where, dispatch(guard), tls);
  return configuration.serverTLSBootstrap && api !== undefined
    ? withClusterCertificate(deps, api, listening)
    : listening;
}

/** Serves with a certificate that the cluster signs and renews, from when there is one: `serverTLSBootstrap`. */
function withClusterCertificate(
  { clock, log, node, hostname, kubeletRoot }: ServerDeps,
  api: NonNullable<ServerDeps['api']>,
  listening: Listening,
): Listening {
  const stopping = new AbortController();
  const store = openCertificates(join(kubeletRoot, 'pki'), 'kubelet-server');
  const use = (pair: { cert: string; key: string }) => listening.replaceCertificate?.(pair);
  const kept = store.current();
  if (kept !== undefined) use(kept);
  const wish = () => servingWish(node.name, [hostname, ...node.ips()]);
  const keeping = keepCertificate({ api, clock, logger: log, store }, wish, use, stopping.signal);
  return {
    ...listening,
    close: async () => {
      stopping.abort();
      await Promise.all([keeping, listening.close()]);
    },
  };
}
