/**
 * The streaming server: exec, attach and port-forward for clients that got a URL from the Exec, Attach or
 * PortForward RPC. The RPC keeps the request under a single-use token (`tokens.ts`); the client connects to the
 * URL and upgrades; `serve.ts` couples the upgraded connection with the runtime.
 */
import { createServer as createHttpServer, type RequestListener, type Server } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import { type AddressInfo, isIPv6 } from 'node:net';
import type { Duplex } from 'node:stream';
import type { AttachRequest, ExecRequest, PortForwardRequest } from '#contracts/cri/runtime_pb.ts';
import { SkiffError } from '#foundation/base/errors.ts';
import { type Logger, silentLogger } from '#foundation/base/log.ts';
import { type Clock, systemClock } from '#foundation/base/time.ts';
import { refuseUpgrade } from '#foundation/stream/http-upgrade.ts';
import type { StreamingRuntime } from '../ports.ts';
import { checkAttach, checkExec, checkPortForward } from './requests.ts';
import { type StreamRequest, serveStream } from './serve.ts';
import { tokens } from './tokens.ts';

/** What the streaming server is made of. */
export interface StreamingDeps {
  runtime: StreamingRuntime;
  /** Where to listen: an IP address, `127.0.0.1` unless told. */
  address?: string;
  /** 0, or left out, for any free port. */
  port?: number;
  /** The host in the URLs, if clients reach it by another name than `address`. */
  advertise?: string;
  /** PEM texts; URLs are https then. */
  tls?: { key: string | Buffer; cert: string | Buffer };
  clock?: Pick<Clock, 'monotonic'>;
  log?: Logger;
  /** Milliseconds without a byte after which a session ends; 4 hours unless told. */
  idleTimeoutMs?: number;
  /** Milliseconds a client has to open its streams; 30,000 unless told. */
  streamCreationTimeoutMs?: number;
}

/** A streaming server; `listen` before asking for URLs. */
export interface StreamingServer {
  /** @throws SkiffError UNAVAILABLE if the address is taken. */
  listen(): Promise<void>;
  /** Keeps the request for 60 s and gives the URL for one client. @throws INVALID_ARGUMENT, RESOURCE_EXHAUSTED. */
  getExecUrl(request: ExecRequest): string;
  getAttachUrl(request: AttachRequest): string;
  getPortForwardUrl(request: PortForwardRequest): string;
  /** Stops listening and ends all sessions. */
  close(): Promise<void>;
}

const defaultIdleTimeoutMs = 4 * 60 * 60 * 1000;

/** Makes a streaming server that does not listen yet. */
export function createStreamingServer(deps: StreamingDeps): StreamingServer {
  const { address = '127.0.0.1', log = silentLogger } = deps;
  const waiting = tokens<StreamRequest>(deps.clock ?? systemClock);
  const connections = new Set<Duplex>();
  const limits = {
    idleTimeoutMs: deps.idleTimeoutMs ?? defaultIdleTimeoutMs,
    streamCreationTimeoutMs: deps.streamCreationTimeoutMs ?? 30_000,
  };
  // Whatever reaches this has not asked for an upgrade; the token stays valid for the real client.
  const server = makeServer(deps.tls, (request, response) => {
    const [status, message] = answerPlain(request.method ?? '', pathOf(request.url));
    response.writeHead(status, { 'Content-Type': 'text/plain; charset=utf-8', Connection: 'close' });
    response.end(`${message}\n`);
  });
  server.on('connection', (socket) => {
    connections.add(socket);
    socket.once('close', () => connections.delete(socket));
  });
  server.on('upgrade', (request, socket, head) => {
    socket.on('error', () => {}); // The client may leave at any moment.
    const { kind, token } = pathOf(request.url);
    if (request.method !== 'GET' && request.method !== 'POST') {
      return refuseUpgrade(socket, 405, 'Stream with GET or POST', { Allow: 'GET, POST' });
    }
    const found = waiting.redeem(token);
    if (found === undefined || found.kind !== kind) return refuseUpgrade(socket, 404, unknownToken);
    serveStream(found, { request, socket, head }, deps.runtime, limits).catch((error: unknown) => {
      log.info({ err: error, kind }, 'A streaming session failed');
      socket.destroy();
    });
  });
  const urlFor = (request: StreamRequest) => {
    const bound = server.address() as AddressInfo | null;
    if (bound === null) throw new SkiffError('UNAVAILABLE', 'The streaming server does not listen yet');
    const host = deps.advertise ?? (address === '0.0.0.0' || address === '::' ? '127.0.0.1' : address);
    const authority = `${isIPv6(host) ? `[${host}]` : host}:${bound.port}`;
    return `${deps.tls ? 'https' : 'http'}://${authority}/${request.kind}/${waiting.issue(request)}`;
  };
  return {
    listen: () => listen(server, address, deps.port ?? 0),
    getExecUrl: (request) => {
      checkExec(request);
      return urlFor({ kind: 'exec', request });
    },
    getAttachUrl: (request) => {
      checkAttach(request);
      return urlFor({ kind: 'attach', request });
    },
    getPortForwardUrl: (request) => {
      checkPortForward(request);
      return urlFor({ kind: 'portforward', request });
    },
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        for (const connection of connections) connection.destroy();
      }),
  };
}

const unknownToken = 'This streaming URL is unknown, was used already, or is older than a minute';

function answerPlain(method: string, path: { kind: string }): [number, string] {
  if (!['exec', 'attach', 'portforward'].includes(path.kind)) return [404, 'No such page'];
  if (method !== 'GET' && method !== 'POST') return [405, 'Stream with GET or POST'];
  return [400, 'Cannot stream: the request does not upgrade to SPDY/3.1 or WebSocket'];
}

function pathOf(url: string | undefined): { kind: string; token: string } {
  const [kind = '', token = '', ...rest] = (url ?? '')
    .replace(/[?#].*/, '')
    .split('/')
    .slice(1);
  return rest.length === 0 ? { kind, token } : { kind: '', token: '' };
}

function makeServer(tls: StreamingDeps['tls'], plain: RequestListener): Server {
  const options = { requestTimeout: 30_000, headersTimeout: 30_000 };
  return tls === undefined
    ? createHttpServer(options, plain)
    : createHttpsServer({ ...options, ...tls, minVersion: 'TLSv1.2' }, plain);
}

function listen(server: Server, address: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (error) => {
      const what = `Cannot listen for streams on ${address}:${port}`;
      reject(new SkiffError('UNAVAILABLE', `${what}: ${error.message}`, { cause: error }));
    });
    server.listen(port, address, () => resolve());
  });
}
