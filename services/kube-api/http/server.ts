/** The HTTPS server: reads a call, finds out who asks and whether they may, and passes it to its handler. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer, type Server } from 'node:https';
import type { Duplex } from 'node:stream';
import type { Logger } from '#foundation/base/log.ts';
import { attributesOf } from '../auth/attributes.ts';
import { type Authorizer, requireAllowed } from '../auth/authorize.ts';
import { type ApiRequest, parseTarget, pathSegments, type User } from './request.ts';
import { sendStatus, sendText } from './respond.ts';
import type { Route } from './route.ts';
import { badRequest, StatusError, statusOf } from './status.ts';

/** What the server needs. */
export interface ServerDeps {
  tls: { ca: string; cert: string; key: string };
  authenticate(request: IncomingMessage): User;
  authorizer: Authorizer;
  route: Route;
  /** Serves an upgrade; throws before it has answered anything. */
  upgrade(request: Omit<ApiRequest, 'response'>, socket: Duplex, head: Buffer): Promise<void>;
  logger: Logger;
  /** Aborts when the server stops. */
  stopping: AbortSignal;
  /** How slow clients may be; `patience` unless told. */
  patience?: Patience;
}

/** Milliseconds that a client may take; slow ones must not hold a place. */
export interface Patience {
  /** For the handshake of a connection. */
  handshake: number;
  /** For a request's head. */
  head: number;
  /** For a request with its body. */
  whole: number;
  /** Between two looks for those who took longer. */
  look: number;
}

const patience: Patience = { handshake: 10_000, head: 20_000, whole: 120_000, look: 5_000 };
const maxHeaderBytes = 64 * 1024;

/** Makes the server; it does not listen yet. */
export function createApiServer(deps: ServerDeps): Server {
  const { handshake, head, whole, look } = deps.patience ?? patience;
  const server = createServer({
    ...deps.tls,
    requestCert: true,
    // Who has no certificate of ours may still bring a token; the authenticator decides.
    rejectUnauthorized: false,
    minVersion: 'TLSv1.2',
    ALPNProtocols: ['http/1.1'],
    maxHeaderSize: maxHeaderBytes,
    keepAliveTimeout: 180_000,
    handshakeTimeout: handshake,
    headersTimeout: head,
    requestTimeout: whole,
    connectionsCheckingInterval: look,
  });
  server.on('request', (raw, response) => void serve(deps, raw, response));
  server.on(
    'upgrade',
    (raw: IncomingMessage, socket: Duplex, first: Buffer) => void serveUpgrade(deps, raw, socket, first),
  );
  server.on('tlsClientError', (_error, socket) => socket.destroy());
  return server;
}

async function serve(deps: ServerDeps, raw: IncomingMessage, response: ServerResponse): Promise<void> {
  response.on('error', () => {}); // The client may leave at any moment.
  try {
    const request = admit(deps, raw, response);
    if (isHealth(request)) sendText(response, 200, 'text/plain', 'ok');
    else await deps.route(request);
  } catch (error) {
    answerFailure(deps, raw, response, error);
  }
}

function answerFailure(
  { logger }: ServerDeps,
  raw: IncomingMessage,
  response: ServerResponse,
  error: unknown,
): void {
  const status = statusOf(error);
  if (!(error instanceof StatusError) && status.code >= 500)
    logger.error({ err: error, method: raw.method, path: raw.url?.split('?')[0] }, 'an API call failed');
  // A body that was not read would be taken for the next request.
  if (!raw.complete && !response.headersSent) response.setHeader('connection', 'close');
  sendStatus(response, status);
}

function isHealth({ path, method }: ApiRequest): boolean {
  return (method === 'GET' || method === 'HEAD') && /^\/(healthz|livez|readyz)(\/|$)/.test(path);
}

/** Reads and checks a call. @throws StatusError 400, 401, 403, 404. */
function admit(deps: ServerDeps, raw: IncomingMessage, response: ServerResponse): ApiRequest {
  const call = readCall(deps, raw, raw.method === 'HEAD' ? 'GET' : (raw.method ?? 'GET'));
  checkDryRun(call.query);
  const gone = new AbortController();
  response.once('close', () => gone.abort());
  const signal = AbortSignal.any([gone.signal, deps.stopping]);
  return { ...call, response, signal, warnings: [] };
}

/** Reads what is asked and lets it in. @throws StatusError. */
function readCall(deps: ServerDeps, raw: IncomingMessage, method: string): UpgradeCall {
  const url = readUrl(raw.url ?? '/');
  const user = deps.authenticate(raw);
  const segments = pathSegments(url.pathname);
  const target = parseTarget(segments);
  const path = `/${segments.join('/')}`;
  requireAllowed(deps.authorizer, attributesOf(user, method, path, target, url.searchParams));
  return { raw, method, segments, path, query: url.searchParams, target, user };
}

type UpgradeCall = Omit<ApiRequest, 'response' | 'signal' | 'warnings'>;

function readUrl(text: string): URL {
  try {
    // URL resolves "..": what was asked for must be looked at as it came.
    if (/(^|\/)(\.|%2e){1,2}(\/|\?|$)/i.test(text.split('?')[0] ?? ''))
      throw badRequest('the path has a segment "." or ".."');
    return new URL(`https://api${text.startsWith('/') ? text : `/${text}`}`);
  } catch (error) {
    throw error instanceof StatusError ? error : badRequest('the URL cannot be read');
  }
}

function checkDryRun(query: URLSearchParams): void {
  for (const value of query.getAll('dryRun'))
    if (value !== 'All' && value !== '')
      throw new StatusError(
        422,
        'Invalid',
        `dryRun: Unsupported value: ${JSON.stringify(value)}: supported values: "All"`,
      );
}

async function serveUpgrade(
  deps: ServerDeps,
  raw: IncomingMessage,
  socket: Duplex,
  head: Buffer,
): Promise<void> {
  socket.on('error', () => {});
  try {
    // Streaming is creating, also where the client says GET, as WebSocket clients must.
    const call = readCall(deps, raw, 'POST');
    await deps.upgrade({ ...call, signal: deps.stopping, warnings: [] }, socket, head);
  } catch (error) {
    const status = statusOf(error);
    const body = JSON.stringify(status);
    socket.end(
      `HTTP/1.1 ${status.code} ${status.reason}\r\ncontent-type: application/json\r\ncontent-length: ${Buffer.byteLength(body)}\r\nconnection: close\r\n\r\n${body}`,
    );
  }
}
