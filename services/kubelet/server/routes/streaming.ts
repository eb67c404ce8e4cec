/** /exec, /attach, /portForward: the kubelet asks the runtime for a URL and passes the client's connection on to it. */
import type { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { CriClient } from '#contracts/cri/client.ts';
import { SkiffError } from '#foundation/base/errors.ts';
import { proxyUpgrade } from '#foundation/stream/index.ts';
import type { KubeletView } from '../../ports.ts';
import { flag } from '../query.ts';
import type { Route } from '../router.ts';
import { podOf, runningContainer } from './find.ts';

/** What streaming needs. */
export interface StreamingDeps {
  view: Pick<KubeletView, 'find' | 'containerId' | 'sandboxId'>;
  cri: Pick<CriClient['runtime'], 'exec' | 'attach' | 'portForward'>;
  /** Milliseconds without a byte after which a connection is cut: `streamingConnectionIdleTimeout`; 0 for never. */
  idleMs: number;
}

/** An upgrade request on its way. */
export interface Upgrade {
  request: IncomingMessage;
  socket: Duplex;
  head: Buffer;
  url: URL;
  params: Readonly<Record<string, string>>;
}

/** Serves an upgrade. */
export type UpgradeHandler = (upgrade: Upgrade) => Promise<void>;

/** A row of the table of upgrades; `handle` answers requests that ask for none. */
export interface UpgradeRoute extends Route {
  upgrade: UpgradeHandler;
}

/** The routes. */
export function streamingRoutes(deps: StreamingDeps): UpgradeRoute[] {
  const row = (path: string, upgrade: UpgradeHandler): UpgradeRoute => ({
    methods: ['GET', 'POST'],
    path,
    upgrade: (exchange) => {
      exchange.socket.once('timeout', () => exchange.socket.destroy());
      if ('setTimeout' in exchange.socket) (exchange.socket as Socket).setTimeout(deps.idleMs);
      return upgrade(exchange);
    },
    handle: async () => {
      throw new SkiffError(
        'INVALID_ARGUMENT',
        'Upgrade request required: this path speaks SPDY/3.1 or WebSocket',
      );
    },
  });
  const exec: UpgradeHandler = (upgrade) => serveExec(deps, upgrade);
  const attach: UpgradeHandler = (upgrade) => serveAttach(deps, upgrade);
  const forward: UpgradeHandler = (upgrade) => serveForward(deps, upgrade);
  return [
    row('/exec/:namespace/:pod/:container', exec),
    row('/exec/:namespace/:pod/:uid/:container', exec),
    row('/attach/:namespace/:pod/:container', attach),
    row('/attach/:namespace/:pod/:uid/:container', attach),
    row('/portForward/:namespace/:pod', forward),
    row('/portForward/:namespace/:pod/:uid', forward),
  ];
}

/** Which streams a query asks for; a terminal has no stderr of its own. @throws SkiffError if it asks for none. */
function streamsOf(query: URLSearchParams): {
  stdin: boolean;
  stdout: boolean;
  stderr: boolean;
  tty: boolean;
} {
  const tty = flag(query, 'tty');
  const streams = {
    stdin: flag(query, 'input'),
    stdout: flag(query, 'output'),
    stderr: flag(query, 'error') && !tty,
    tty,
  };
  if (streams.stdin || streams.stdout || streams.stderr) return streams;
  throw new SkiffError('INVALID_ARGUMENT', 'you must specify at least 1 of stdin, stdout, stderr');
}

async function serveExec(
  { view, cri }: StreamingDeps,
  { request, socket, head, url, params }: Upgrade,
): Promise<void> {
  const streams = streamsOf(url.searchParams);
  const { id } = await runningContainer(view, params);
  const cmd = url.searchParams.getAll('command');
  const answer = await cri.exec({ containerId: id, cmd, ...streams });
  await proxyUpgrade(request, socket, head, { target: answer.url, remoteCommand: streams });
}

async function serveAttach(
  { view, cri }: StreamingDeps,
  { request, socket, head, url, params }: Upgrade,
): Promise<void> {
  const streams = streamsOf(url.searchParams);
  const { id } = await runningContainer(view, params);
  const answer = await cri.attach({ containerId: id, ...streams });
  await proxyUpgrade(request, socket, head, { target: answer.url, remoteCommand: streams });
}

async function serveForward(
  { view, cri }: StreamingDeps,
  { request, socket, head, url, params }: Upgrade,
): Promise<void> {
  const pod = podOf(view, params);
  const ports = url.searchParams
    .getAll('port')
    .flatMap((list) => list.split(','))
    .map(Number);
  const podSandboxId = await view.sandboxId(pod);
  const answer = await cri.portForward({ podSandboxId, port: ports });
  // WebSocket clients name their ports in the query; the runtime needs them there too.
  const target = new URL(answer.url);
  for (const port of ports) target.searchParams.append('port', String(port));
  await proxyUpgrade(request, socket, head, { target, portForward: true });
}
