/** The client of port-forward: over SPDY, in a WebSocket tunnel or plain. `skiff port-forward` uses it. */
import type { Duplex } from 'node:stream';
import { SkiffError } from '#foundation/base/errors.ts';
import { type TlsClientOptions, UpgradeRefused } from '#foundation/stream/http-upgrade.ts';
import { createSpdySession, type SpdySession } from '#foundation/stream/spdy/session.ts';
import { connectSpdy } from '#foundation/stream/spdy/upgrade.ts';
import { webSocketTransport } from '#foundation/stream/websocket/transport.ts';
import { connectWebSocket } from '#foundation/stream/websocket/upgrade.ts';
import { spdyProtocol, tunnelProtocol } from './protocol.ts';

/** What to connect, and how. */
export interface PortForwardRequest {
  /** `auto` tries the WebSocket tunnel and falls back to SPDY; `auto` unless told. */
  transport?: 'auto' | 'tunnel' | 'spdy';
  tls?: TlsClientOptions;
  headers?: Record<string, string | string[]>;
  /** Ends the session when it aborts. */
  signal?: AbortSignal;
}

/** One forwarded connection. */
export interface ForwardedConnection {
  /** What the pod's port sends and gets. */
  data: Duplex;
  /** Why the port could not be reached; '' if nothing failed. Resolves when the connection is over. */
  failure: Promise<string>;
}

/** A session: any number of connections to any ports of one pod. */
export interface PortForwardClient {
  /** Connects to a port of the pod. @throws SkiffError UNAVAILABLE if the session is over. */
  open(port: number): Promise<ForwardedConnection>;
  close(): Promise<void>;
  /** Aborts when the session is over. */
  readonly signal: AbortSignal;
}

/**
 * Connects to a streaming URL: of a CRI server, a kubelet or a Kubernetes API.
 *
 * @throws UpgradeRefused (a SkiffError) if the server answers with an HTTP error; SkiffError UNAVAILABLE.
 */
export async function connectPortForward(
  url: string | URL,
  request: PortForwardRequest = {},
): Promise<PortForwardClient> {
  const session = await connectSession(new URL(url), request);
  const cancel = () => session.destroy(new SkiffError('CANCELLED', 'Port-forwarding was cancelled'));
  request.signal?.addEventListener('abort', cancel, { once: true });
  session.signal.addEventListener('abort', () => request.signal?.removeEventListener('abort', cancel));
  let lastId = 0;
  return {
    open: async (port) => {
      lastId += 1;
      const headers = { port: String(port), requestid: String(lastId) };
      const error = await session.open({ ...headers, streamtype: 'error' });
      error.end();
      const data = await session.open({ ...headers, streamtype: 'data' });
      const failure = (error.toArray() as Promise<Buffer[]>).then(
        (chunks) => Buffer.concat(chunks).toString(),
        () => 'the connection broke',
      );
      return { data, failure };
    },
    close: session.close,
    signal: session.signal,
  };
}

async function connectSession(url: URL, request: PortForwardRequest): Promise<SpdySession> {
  if (request.transport === 'spdy') return overSpdy(url, request);
  try {
    return await inTunnel(url, request);
  } catch (error) {
    const speaksNoTunnel = error instanceof UpgradeRefused && ![401, 404].includes(error.status);
    if (request.transport === 'tunnel' || !speaksNoTunnel) throw error;
    return overSpdy(url, request);
  }
}

async function overSpdy(url: URL, { headers, tls, signal }: PortForwardRequest): Promise<SpdySession> {
  const upgraded = await connectSpdy({ url, protocols: [spdyProtocol], headers, tls, signal });
  return createSpdySession({ transport: upgraded.socket, head: upgraded.head, role: 'client' });
}

async function inTunnel(url: URL, { headers, tls, signal }: PortForwardRequest): Promise<SpdySession> {
  const socket = await connectWebSocket({ url, protocols: [tunnelProtocol], headers, tls, signal });
  return createSpdySession({ transport: webSocketTransport(socket), role: 'client' });
}
