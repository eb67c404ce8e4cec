/**
 * HTTP upgrades to WebSocket through `ws`, with subprotocols chosen as Kubernetes does. The subprotocol is
 * negotiated here: `ws` takes only tokens (RFC 6455, section 4.1), and Kubernetes' tunnel has a slash in its name.
 */
import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { WebSocket, WebSocketServer } from 'ws';
import { SkiffError } from '#foundation/base/errors.ts';
import { listHeader, refuseUpgrade, type TlsClientOptions, UpgradeRefused } from '../http-upgrade.ts';

/** A WebSocket and its subprotocol; '' for none. */
export interface NegotiatedSocket {
  socket: WebSocket;
  protocol: string;
}

const protocolHeader = 'sec-websocket-protocol';

/** Bytes of the longest message that is accepted. */
const maxMessageBytes = 16 * 1024 * 1024;

/**
 * Answers an upgrade to WebSocket.
 *
 * @param known subprotocols that we speak; include '' to serve clients that name none.
 * @throws SkiffError INVALID_ARGUMENT if the handshake is bad or no subprotocol fits; it has then been
 *   answered with 400.
 */
export function acceptWebSocket(
  request: IncomingMessage,
  socket: Duplex,
  head: Buffer,
  known: readonly string[],
): Promise<NegotiatedSocket> {
  const { promise, resolve, reject } = Promise.withResolvers<NegotiatedSocket>();
  const offered = listHeader(request.headers[protocolHeader]);
  const chosen = offered.length === 0 ? '' : offered.find((each) => known.includes(each));
  if (chosen === undefined || !known.includes(chosen)) {
    const message = `None of the subprotocols ${JSON.stringify(offered)} is spoken here: ${known.join(', ')}`;
    refuseUpgrade(socket, 400, message);
    reject(new SkiffError('INVALID_ARGUMENT', message));
    return promise;
  }
  const server = new WebSocketServer({
    noServer: true,
    clientTracking: false,
    maxPayload: maxMessageBytes,
  });
  delete request.headers[protocolHeader];
  server.on('headers', (headers) => {
    if (chosen !== '') headers.push(`Sec-WebSocket-Protocol: ${chosen}`);
  });
  server.on('wsClientError', (error, client) => {
    refuseUpgrade(client, 400, `Bad WebSocket handshake: ${error.message}`);
    reject(new SkiffError('INVALID_ARGUMENT', `Bad WebSocket handshake: ${error.message}`));
  });
  socket.once('close', () => reject(new SkiffError('UNAVAILABLE', 'The client left during the handshake')));
  server.handleUpgrade(request, socket, head, (accepted) => resolve({ socket: accepted, protocol: chosen }));
  return promise;
}

/** What to ask a server for. */
export interface WebSocketRequest {
  url: URL;
  protocols: readonly string[];
  headers?: Record<string, string | string[]>;
  tls?: TlsClientOptions;
  signal?: AbortSignal;
}

/**
 * Connects a WebSocket. Nothing is read from it before the caller resumes it, so that no message is missed.
 *
 * @throws UpgradeRefused if the server answers with anything but 101; SkiffError UNAVAILABLE.
 */
export function connectWebSocket(request: WebSocketRequest): Promise<NegotiatedSocket> {
  const { promise, resolve, reject } = Promise.withResolvers<NegotiatedSocket>();
  const url = new URL(request.url);
  url.protocol = url.protocol === 'https:' || url.protocol === 'wss:' ? 'wss:' : 'ws:';
  if (request.signal?.aborted) {
    reject(new SkiffError('CANCELLED', `Streaming from ${url.host} was cancelled`));
    return promise;
  }
  const offered = request.protocols.filter((each) => each !== '');
  const wish = offered.length > 0 ? { 'Sec-WebSocket-Protocol': offered.join(', ') } : {};
  const socket = new WebSocket(url, [], {
    headers: { ...(request.headers as Record<string, string>), ...wish },
    perMessageDeflate: false,
    maxPayload: maxMessageBytes,
    ...request.tls,
  });
  const cancel = () => socket.terminate();
  request.signal?.addEventListener('abort', cancel, { once: true });
  let protocol = '';
  socket.once('upgrade', (response) => {
    protocol = String(response.headers[protocolHeader] ?? '');
    delete response.headers[protocolHeader];
  });
  socket.once('open', () => {
    socket.pause();
    if (protocol === '' || offered.includes(protocol)) return resolve({ socket, protocol });
    reject(
      new SkiffError('UNAVAILABLE', `${url.host} chose the subprotocol ${protocol}, which was not offered`),
    );
    socket.terminate();
  });
  socket.once('unexpected-response', (_request, response) => {
    const chunks: Buffer[] = [];
    response.on('data', (chunk: Buffer) => chunks.push(chunk));
    response.on('close', () => {
      reject(new UpgradeRefused(url, response.statusCode ?? 0, Buffer.concat(chunks).toString()));
      socket.terminate();
    });
  });
  socket.on('error', (error) => {
    reject(
      new SkiffError('UNAVAILABLE', `Cannot stream from ${url.host}: ${error.message}`, { cause: error }),
    );
  });
  return promise.finally(() => request.signal?.removeEventListener('abort', cancel));
}
