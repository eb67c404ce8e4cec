/** The CRI server's own metrics over HTTP, for Prometheus: `GET /metrics`. */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { messageOf, SkiffError } from '#foundation/base/errors.ts';
import type { Registry } from '#foundation/base/metrics.ts';

/** Where it is served. */
export interface MetricsAddress {
  /** An IP address: `127.0.0.1`. */
  address: string;
  /** 0 for any free port. */
  port: number;
}

/** A server that listens. */
export interface MetricsServer extends AsyncDisposable {
  /** `http://127.0.0.1:9090/metrics`. */
  readonly url: string;
}

/** Listens. @throws SkiffError UNAVAILABLE if the address is taken. */
export async function serveMetrics(
  registry: Registry,
  { address, port }: MetricsAddress,
): Promise<MetricsServer> {
  const server = createServer((request, response) => void answer(registry, request, response));
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error) =>
      reject(
        new SkiffError(
          'UNAVAILABLE',
          `Cannot serve metrics on ${address}:${port}: ${messageOf(error)}; choose another port (cri.metricsPort)`,
        ),
      ),
    );
    server.listen(port, address, resolve);
  });
  const bound = server.address() as AddressInfo;
  const host = bound.family === 'IPv6' ? `[${bound.address}]` : bound.address;
  return {
    url: `http://${host}:${bound.port}/metrics`,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

async function answer(
  registry: Registry,
  { method, url }: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const say = (status: number, text: string, headers: Record<string, string> = {}) => {
    response.writeHead(status, { 'Content-Type': 'text/plain; charset=utf-8', ...headers });
    response.end(method === 'HEAD' ? undefined : text);
  };
  if (url?.split('?')[0] !== '/metrics') return say(404, 'Ask for /metrics\n');
  if (method !== 'GET' && method !== 'HEAD') return say(405, 'Use GET\n', { Allow: 'GET, HEAD' });
  try {
    say(200, await registry.metrics(), { 'Content-Type': registry.contentType });
  } catch (error) {
    say(500, `${messageOf(error)}\n`);
  }
}
