/**
 * Passes an upgraded connection on to another server. SPDY and WebSocket v4 go through byte for byte; WebSocket
 * v5 and the port-forward tunnel, which CRI servers need not know, are translated to SPDY as the kubelet does.
 */
import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { isSkiffError, messageOf } from '#foundation/base/errors.ts';
import {
  acceptUpgrade,
  listHeader,
  refuseUpgrade,
  requestUpgrade,
  type TlsClientOptions,
  type Upgraded,
  UpgradeRefused,
} from './http-upgrade.ts';
import { spdyProtocol, tunnelProtocol } from './port-forward/protocol.ts';
import { couple } from './pump.ts';
import type { RemoteCommandStreams } from './remote-command/protocol.ts';
import { translateRemoteCommand } from './remote-command/translate.ts';
import { connectSpdy } from './spdy/upgrade.ts';
import { webSocketTransport } from './websocket/transport.ts';
import { acceptWebSocket } from './websocket/upgrade.ts';

/** Where to and how. */
export interface ProxyOptions {
  /** The server to pass on to: the URL that a CRI runtime or kubelet gave. */
  target: string | URL;
  tls?: TlsClientOptions;
  /** Added to the request (authorization); those of the client that are about this hop only are left out. */
  headers?: Record<string, string>;
  /** For exec and attach: the streams that were asked for. Lets v5 be translated. */
  remoteCommand?: RemoteCommandStreams;
  /** Whether what is asked for is port-forward. Lets the tunnel be translated. */
  portForward?: boolean;
}

/** Headers about one hop (RFC 9110, section 7.6.1), and the client's credentials, which are not the target's. */
const notPassedOn = ['host', 'authorization', 'proxy-authorization', 'content-length', 'transfer-encoding'];

/**
 * Serves an upgrade request by asking `target` the same; resolves when the connection is over. Failures are
 * answered to the client as HTTP errors. Never throws.
 */
export async function proxyUpgrade(
  request: IncomingMessage,
  socket: Duplex,
  head: Buffer,
  options: ProxyOptions,
): Promise<void> {
  socket.on('error', () => {}); // The client may leave at any moment; `couple` sees the close.
  const offered = listHeader(request.headers['sec-websocket-protocol']);
  try {
    if (options.remoteCommand && offered.includes('v5.channel.k8s.io')) {
      await translateRemoteCommand(request, socket, head, options.remoteCommand, options);
    } else if (options.portForward && offered.includes(tunnelProtocol)) {
      await translateTunnel(request, socket, head, options);
    } else {
      await passOn(request, socket, head, options);
    }
  } catch (error) {
    answerFailure(socket, error);
  }
}

async function passOn(request: IncomingMessage, socket: Duplex, head: Buffer, options: ProxyOptions) {
  const left = new AbortController();
  const leave = () => left.abort();
  socket.once('close', leave);
  const upstream = await requestUpgrade({
    url: new URL(options.target),
    method: request.method ?? 'GET',
    headers: { ...passedHeaders(request), ...options.headers },
    tls: options.tls,
    signal: left.signal,
  });
  socket.off('close', leave);
  acceptUpgrade(socket, answerHeaders(upstream));
  if (upstream.head.length > 0) socket.write(upstream.head);
  if (head.length > 0) upstream.socket.write(head);
  await couple(socket, upstream.socket);
}

async function translateTunnel(
  request: IncomingMessage,
  socket: Duplex,
  head: Buffer,
  options: ProxyOptions,
) {
  const upstream = await connectSpdy({
    url: new URL(options.target),
    protocols: [spdyProtocol],
    headers: options.headers,
    tls: options.tls,
  });
  try {
    const webSocket = await acceptWebSocket(request, socket, head, [tunnelProtocol]);
    const tunnel = webSocketTransport(webSocket);
    if (upstream.head.length > 0) tunnel.write(upstream.head);
    await couple(tunnel, upstream.socket);
  } finally {
    upstream.socket.destroy();
  }
}

function passedHeaders(request: IncomingMessage): Record<string, string | string[]> {
  const headers: Record<string, string | string[]> = {};
  for (const [name, value] of Object.entries(request.headersDistinct)) {
    if (value !== undefined && !notPassedOn.includes(name)) headers[name] = value;
  }
  if (request.method === 'POST') headers['content-length'] = '0';
  return headers;
}

function answerHeaders(upstream: Upgraded): Record<string, string> {
  const headers: Record<string, string> = {};
  for (let index = 0; index + 1 < upstream.rawHeaders.length; index += 2) {
    headers[upstream.rawHeaders[index] ?? ''] = upstream.rawHeaders[index + 1] ?? '';
  }
  return headers;
}

function answerFailure(socket: Duplex, error: unknown): void {
  if (socket.destroyed || socket.writableEnded) return;
  if (error instanceof UpgradeRefused) refuseUpgrade(socket, error.status, error.body.trim());
  else refuseUpgrade(socket, isSkiffError(error, 'NOT_FOUND') ? 404 : 502, messageOf(error));
}
