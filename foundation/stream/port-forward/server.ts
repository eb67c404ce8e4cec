/** Serves port-forward: takes an upgrade request in any of Kubernetes' dialects and connects what it asks for. */
import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { SkiffError } from '#foundation/base/errors.ts';
import { listHeader, refuseUpgrade, wantedUpgrade } from '#foundation/stream/http-upgrade.ts';
import { acceptSpdy } from '#foundation/stream/spdy/upgrade.ts';
import { webSocketTransport } from '#foundation/stream/websocket/transport.ts';
import { acceptWebSocket } from '#foundation/stream/websocket/upgrade.ts';
import { type PortForwardOptions, spdyProtocol, tunnelProtocol } from './protocol.ts';
import { serveChannels } from './server-channels.ts';
import { servePairs } from './server-spdy.ts';

/**
 * Accepts an upgrade request and forwards until the client leaves.
 *
 * @throws SkiffError INVALID_ARGUMENT if the request cannot be served; the client has then been answered.
 */
export async function acceptPortForward(
  request: IncomingMessage,
  socket: Duplex,
  head: Buffer,
  options: PortForwardOptions,
): Promise<void> {
  const wanted = wantedUpgrade(request);
  if (wanted === 'spdy') {
    acceptSpdy(request, socket, [spdyProtocol, '']);
    return servePairs({ transport: socket, head }, options);
  }
  if (wanted === 'websocket') return acceptOverWebSocket(request, socket, head, options);
  const message = 'Cannot forward ports: the request does not upgrade to SPDY/3.1 or WebSocket';
  refuseUpgrade(socket, 400, message);
  throw new SkiffError('INVALID_ARGUMENT', message);
}

async function acceptOverWebSocket(
  request: IncomingMessage,
  socket: Duplex,
  head: Buffer,
  options: PortForwardOptions,
): Promise<void> {
  const offered = listHeader(request.headers['sec-websocket-protocol']);
  if (offered.includes(tunnelProtocol)) {
    const webSocket = await acceptWebSocket(request, socket, head, [tunnelProtocol]);
    return servePairs({ transport: webSocketTransport(webSocket) }, options);
  }
  return serveChannels(request, socket, head, options);
}

export type { PortForwardOptions } from './protocol.ts';
