/** One server's way from a request to its handler: who asks, may they, what for; errors become answers here. */
import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import { isSkiffError, SkiffError } from '#foundation/base/errors.ts';
import type { Logger } from '#foundation/base/log.ts';
import { refuseUpgrade } from '#foundation/stream/http-upgrade.ts';
import { sendError, sendText, statusOf } from './answers.ts';
import type { Authenticator } from './auth/authenticate.ts';
import type { Authorizer } from './auth/authorize.ts';
import { findRoute, type Match, type Route } from './router.ts';
import type { UpgradeRoute } from './routes/streaming.ts';

/** What a server serves, to whom. */
export interface DispatchDeps {
  /** For the metrics: `readwrite`, `readonly`, `local`. */
  serverType: string;
  routes: readonly (Route | UpgradeRoute)[];
  /** Undefined for servers that ask nobody who they are: the read-only port, the unix socket. */
  guard?: { authenticate: Authenticator; authorize: Authorizer };
  /** Paths that exist but are turned off: 405 as the original. */
  disabled?: readonly Route[];
  log: Logger;
  count: (labels: { method: string; path: string; server_type: string; long_running: string }) => void;
}

/** Serves a request that asks for an upgrade. */
export type UpgradeListener = (request: IncomingMessage, socket: Duplex, head: Buffer) => void;

/** Makes the listeners of a server. */
export function createDispatch(deps: DispatchDeps): { request: RequestListener; upgrade: UpgradeListener } {
  return {
    request: (request, response) => {
      serve(deps, request, response).catch((error: unknown) => {
        logFailure(deps, request, error);
        if (isSkiffError(error, 'UNAUTHENTICATED')) response.setHeader('www-authenticate', 'Bearer');
        sendError(response, error);
      });
    },
    upgrade: (request, socket, head) => {
      socket.on('error', () => {}); // The client may leave at any moment.
      serveUpgrade(deps, request, socket, head).catch((error: unknown) => {
        logFailure(deps, request, error);
        const known = error instanceof SkiffError ? error : new SkiffError('INTERNAL', String(error));
        if (!socket.destroyed) refuseUpgrade(socket, statusOf(known), known.message);
      });
    },
  };
}

async function serve(deps: DispatchDeps, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const url = urlOf(request);
  const method = request.method ?? 'GET';
  await admit(deps, request, method, url);
  const match = findRoute(deps.routes, method, url.pathname);
  if (match === undefined) {
    const off = findRoute(deps.disabled ?? [], method, url.pathname) !== undefined;
    if (off) sendText(response, 'Debug endpoints are disabled.\n', 405);
    else sendText(response, '404 page not found\n', 404);
    return;
  }
  if (match === 'wrong method') {
    sendText(response, 'Method Not Allowed\n', 405);
    return;
  }
  count(deps, method, match);
  const gone = new AbortController();
  response.once('close', () => gone.abort());
  await match.route.handle({ request, response, url, params: match.params, signal: gone.signal });
}

async function serveUpgrade(
  deps: DispatchDeps,
  request: IncomingMessage,
  socket: Duplex,
  head: Buffer,
): Promise<void> {
  const url = urlOf(request);
  const method = request.method ?? 'GET';
  await admit(deps, request, method, url);
  const match = findRoute(deps.routes, method, url.pathname);
  if (match === undefined || match === 'wrong method' || !isUpgradeRoute(match.route))
    throw new SkiffError('NOT_FOUND', '404 page not found');
  count(deps, method, match);
  await match.route.upgrade({ request, socket, head, url, params: match.params });
}

async function admit(deps: DispatchDeps, request: IncomingMessage, method: string, url: URL): Promise<void> {
  if (deps.guard === undefined) return;
  const user = await deps.guard.authenticate(request);
  await deps.guard.authorize(user, method, url.pathname);
}

function isUpgradeRoute(route: Route): route is UpgradeRoute {
  return 'upgrade' in route;
}

function count(deps: DispatchDeps, method: string, { route }: Match): void {
  const path = route.path.split('/')[1] ?? '';
  const long = 'upgrade' in route || path === 'containerLogs';
  deps.count({ method, path, server_type: deps.serverType, long_running: String(long) });
}

function urlOf(request: IncomingMessage): URL {
  const text = `http://kubelet${request.url ?? '/'}`;
  if (URL.canParse(text)) return new URL(text);
  throw new SkiffError('INVALID_ARGUMENT', 'the request has no valid path');
}

function logFailure(deps: DispatchDeps, request: IncomingMessage, error: unknown): void {
  const expected = isSkiffError(
    error,
    'NOT_FOUND',
    'INVALID_ARGUMENT',
    'UNAUTHENTICATED',
    'PERMISSION_DENIED',
  );
  deps.log[expected ? 'debug' : 'warn'](
    { err: error, method: request.method, path: request.url },
    'request failed',
  );
}
