/** Opens listeners: TLS, plain, and a unix socket that only its owner may use. */
import { chmodSync, mkdirSync, rmSync } from 'node:fs';
import http from 'node:http';
import https, { type ServerOptions } from 'node:https';
import { dirname } from 'node:path';
import { SkiffError } from '#foundation/base/errors.ts';
import type { createDispatch } from './dispatch.ts';

/** An open listener. */
export interface Listening {
  /** The port that it got; 0 for a unix socket. */
  port: number;
  /** Serves connections from now on with another certificate; there on TLS listeners. */
  replaceCertificate?(pair: { cert: string; key: string }): void;
  close(): Promise<void>;
}

type Listeners = ReturnType<typeof createDispatch>;

/** Milliseconds that one request may take to arrive; following a log may last as long as the original's 4 hours. */
const headersTimeout = 60_000;

/** Opens a TCP listener, with TLS if `tls` is given. @throws SkiffError UNAVAILABLE naming the address. */
export async function listenTcp(
  where: { host: string; port: number },
  listeners: Listeners,
  tls?: ServerOptions,
): Promise<Listening> {
  const name = `${where.host}:${where.port}`;
  if (tls === undefined) {
    const plain = http.createServer({ headersTimeout, requestTimeout: 0 }, listeners.request);
    return open(plain, listeners, () => plain.listen(where.port, where.host), name);
  }
  const server = https.createServer({ ...tls, headersTimeout, requestTimeout: 0 }, listeners.request);
  const listening = await open(server, listeners, () => server.listen(where.port, where.host), name);
  return { ...listening, replaceCertificate: (pair) => server.setSecureContext({ ...tls, ...pair }) };
}

/** Opens a unix socket with mode 0600, replacing one that a killed kubelet left. */
export async function listenUnix(path: string, listeners: Listeners): Promise<Listening> {
  mkdirSync(dirname(path), { recursive: true });
  rmSync(path, { force: true });
  const server = http.createServer({ headersTimeout, requestTimeout: 0 }, listeners.request);
  // Nobody else may connect in the moment between bind(2) and chmod(2).
  const before = process.umask(0o177);
  try {
    return await open(server, listeners, () => server.listen(path), path);
  } finally {
    process.umask(before);
    chmodSync(path, 0o600);
  }
}

async function open(
  server: http.Server | https.Server,
  listeners: Listeners,
  listen: () => void,
  name: string,
): Promise<Listening> {
  server.on('upgrade', listeners.upgrade);
  server.on('tlsClientError', (_error: Error, socket: { destroy(): void }) => socket.destroy());
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error) =>
      reject(
        new SkiffError('UNAVAILABLE', `Cannot serve the kubelet's API on ${name}: ${error.message}`, {
          cause: error,
        }),
      ),
    );
    server.once('listening', resolve);
    listen();
  });
  const address = server.address();
  return {
    port: typeof address === 'object' && address !== null ? address.port : 0,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
