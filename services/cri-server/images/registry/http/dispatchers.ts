/**
 * undici dispatchers: one connection pool for each origin, TLS setting and proxy. A changed certificate or
 * proxy makes a new pool; the one not used for longest is closed when there are too many.
 */
import { createHash } from 'node:crypto';
import { buildConnector, type Dispatcher, Pool, ProxyAgent } from 'undici';
import { defaultTls, type TlsSettings } from '../hosts/host.ts';
import type { Limits, ProxySettings } from '../types.ts';
import { proxyFor } from './proxy.ts';
import { createTrust } from './trust.ts';

/** Pools that are kept open at a time. */
const maxPools = 64;
/** Connections to one origin; more layers than that at a time do not get faster. */
const connectionsPerOrigin = 32;

/** Where a request goes and how. */
export interface Route {
  url: URL;
  tls: TlsSettings;
  /** Milliseconds to connect. */
  connectMs: number;
}

/** Gives each request its pool. */
export interface Dispatchers {
  /** @throws SkiffError FAILED_PRECONDITION for an unusable certificate or proxy address. */
  get(route: Route): Promise<Dispatcher>;
  /** Makes the TLS context that most hosts have. */
  prepare(): Promise<void>;
  close(): Promise<void>;
}

/** Makes an empty set of pools. */
export function createDispatchers(deps: { proxy: ProxySettings; limits: Limits }): Dispatchers {
  const trust = createTrust();
  const pools = new Map<string, Promise<Dispatcher>>();
  const make = async (route: Route, proxy: string | undefined): Promise<Dispatcher> => {
    const secureContext = route.url.protocol === 'https:' ? await trust.contextFor(route.tls) : undefined;
    const tls = { secureContext, rejectUnauthorized: !route.tls.skipVerify };
    const options = {
      connections: connectionsPerOrigin,
      pipelining: 1,
      // One HTTP/2 connection shares one flow-control window among all layers; HTTP/1.1 is faster here.
      allowH2: false,
      headersTimeout: deps.limits.headersMs,
      bodyTimeout: 0, // Stalls are watched by the readers, who know whether they want bytes.
      keepAliveTimeout: 15_000,
      connectTimeout: route.connectMs,
    };
    if (proxy !== undefined)
      return new ProxyAgent({ uri: proxy, ...options, requestTls: { ...tls, timeout: route.connectMs } });
    const connect = tellingAlerts(buildConnector({ ...tls, allowH2: false, timeout: route.connectMs }));
    return new Pool(route.url.origin, { ...options, connect });
  };
  return {
    get(route) {
      const proxy = proxyFor(route.url, deps.proxy);
      const key = keyOf(route, proxy);
      const pool = pools.get(key) ?? make(route, proxy);
      pools.delete(key);
      pools.set(key, pool); // Last in the map is last used.
      pool.catch(() => pools.delete(key));
      closeOldest(pools);
      return pool;
    },
    prepare: async () => void (await trust.contextFor(defaultTls)),
    async close() {
      const open = [...pools.values()];
      pools.clear();
      await Promise.allSettled(open.map(async (pool) => (await pool).close()));
    },
  };
}

/**
 * With TLS 1.3 a server refuses a client's certificate only after the handshake, by an alert. undici would
 * report the closed connection that follows; destroying the socket with the alert makes that the reason.
 */
function tellingAlerts(connector: buildConnector.connector): buildConnector.connector {
  return (options, callback) =>
    connector(options, (...result: Parameters<buildConnector.Callback>) => {
      const [error, socket] = result;
      if (error !== null) return callback(error, null);
      socket.on('error', (alert) => socket.destroy(alert));
      callback(null, socket);
    });
}

function keyOf(route: Route, proxy: string | undefined): string {
  const settings = JSON.stringify([route.tls, proxy, route.connectMs]);
  return `${route.url.origin} ${createHash('sha256').update(settings).digest('base64url')}`;
}

function closeOldest(pools: Map<string, Promise<Dispatcher>>): void {
  for (const [key, pool] of pools) {
    if (pools.size <= maxPools) return;
    pools.delete(key);
    pool.then((dispatcher) => dispatcher.close()).catch(() => {});
  }
}
