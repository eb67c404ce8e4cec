/** HTTP upgrades to SPDY/3.1, with Kubernetes' own negotiation of what is spoken over the streams. */
import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { SkiffError } from '#foundation/base/errors.ts';
import {
  acceptUpgrade,
  listHeader,
  refuseUpgrade,
  requestUpgrade,
  type TlsClientOptions,
} from '#foundation/stream/http-upgrade.ts';

/** Carries the offered protocols in the request, the chosen one in the answer. */
export const protocolHeader = 'X-Stream-Protocol-Version';

/**
 * Chooses a protocol as Kubernetes does: the first that the client offers and we know. A client that offers
 * none (before Kubernetes 1.1) speaks the unversioned one, named ''.
 */
function chooseProtocol(offered: readonly string[], known: readonly string[]): string | undefined {
  if (offered.length === 0) return known.includes('') ? '' : undefined;
  return offered.find((each) => known.includes(each));
}

/**
 * Answers an upgrade to SPDY/3.1.
 *
 * @param known protocols over the streams that we speak.
 * @returns the chosen one; SPDY frames follow on `socket`.
 * @throws SkiffError INVALID_ARGUMENT if the client offers none of them; it has then been answered with 403.
 */
export function acceptSpdy(request: IncomingMessage, socket: Duplex, known: readonly string[]): string {
  const offered = listHeader(request.headers[protocolHeader.toLowerCase()]);
  const protocol = chooseProtocol(offered, known);
  if (protocol === undefined) {
    const message = `None of the protocols ${JSON.stringify(offered)} is spoken here: ${known.join(', ')}`;
    refuseUpgrade(socket, 403, message, { 'X-Accepted-Stream-Protocol-Versions': known.join(', ') });
    throw new SkiffError('INVALID_ARGUMENT', message);
  }
  const chosen: Record<string, string> = protocol === '' ? {} : { [protocolHeader]: protocol };
  acceptUpgrade(socket, { Connection: 'Upgrade', Upgrade: 'SPDY/3.1', ...chosen });
  return protocol;
}

/** What to ask a server for. */
export interface SpdyRequest {
  url: URL;
  /** Protocols over the streams, the preferred first; [''] for the unversioned one. */
  protocols: readonly string[];
  headers?: Record<string, string | string[]>;
  tls?: TlsClientOptions;
  signal?: AbortSignal;
}

/** Upgrades a connection to SPDY/3.1. @throws UpgradeRefused; SkiffError UNAVAILABLE. */
export async function connectSpdy(
  request: SpdyRequest,
): Promise<{ socket: Duplex; head: Buffer; protocol: string }> {
  const offered = request.protocols.filter((each) => each !== '');
  const { socket, head, headers } = await requestUpgrade({
    url: request.url,
    method: 'POST',
    headers: {
      ...request.headers,
      Connection: 'Upgrade',
      Upgrade: 'SPDY/3.1',
      'Content-Length': '0',
      ...(offered.length > 0 ? { [protocolHeader]: offered } : {}),
    },
    tls: request.tls,
    signal: request.signal,
  });
  const chosen = headers[protocolHeader.toLowerCase()];
  return { socket, head, protocol: typeof chosen === 'string' ? chosen : '' };
}
