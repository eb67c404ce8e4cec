/** The HTTP/1.1 side of streaming: asking a server to upgrade, and refusing or accepting a client's wish. */
import {
  request as httpRequest,
  type IncomingHttpHeaders,
  type IncomingMessage,
  STATUS_CODES,
} from 'node:http';
import { request as httpsRequest } from 'node:https';
import type { Duplex } from 'node:stream';
import { type ErrorCode, SkiffError } from '#foundation/base/errors.ts';

/** How to trust a server and be trusted; PEM texts. */
export interface TlsClientOptions {
  ca?: string | Buffer;
  cert?: string | Buffer;
  key?: string | Buffer;
  servername?: string;
  /** False to take any certificate. */
  rejectUnauthorized?: boolean;
}

/** An upgrade to ask for. */
export interface UpgradeRequest {
  url: URL;
  /** `GET` or `POST`. */
  method: string;
  /** All headers, with `Connection` and `Upgrade`. */
  headers: Record<string, string | string[]>;
  tls?: TlsClientOptions;
  signal?: AbortSignal;
}

/** A connection that now speaks the other protocol. */
export interface Upgraded {
  socket: Duplex;
  /** Bytes that came with the answer. */
  head: Buffer;
  headers: IncomingHttpHeaders;
  /** Names and values as the server sent them, one after another. */
  rawHeaders: string[];
}

/** A server's refusal to upgrade, with what it answered. */
export class UpgradeRefused extends SkiffError {
  readonly status: number;
  readonly body: string;

  constructor(url: URL, status: number, body: string) {
    const said = body.trim() === '' ? '' : `: ${body.trim().slice(0, 1000)}`;
    super(codeOfStatus(status), `${url.host} refused to stream (HTTP ${status})${said}`);
    this.status = status;
    this.body = body;
  }
}

const codes: Record<number, ErrorCode> = {
  400: 'INVALID_ARGUMENT',
  401: 'UNAUTHENTICATED',
  403: 'PERMISSION_DENIED',
  404: 'NOT_FOUND',
  405: 'INVALID_ARGUMENT',
  429: 'RESOURCE_EXHAUSTED',
  501: 'UNIMPLEMENTED',
  503: 'UNAVAILABLE',
};

function codeOfStatus(status: number): ErrorCode {
  return codes[status] ?? 'INTERNAL';
}

/**
 * Asks a server to upgrade.
 *
 * @throws UpgradeRefused if it answers with anything but 101; SkiffError UNAVAILABLE if it cannot be reached.
 */
export function requestUpgrade({ url, method, headers, tls, signal }: UpgradeRequest): Promise<Upgraded> {
  const { promise, resolve, reject } = Promise.withResolvers<Upgraded>();
  const ask = url.protocol === 'https:' || url.protocol === 'wss:' ? httpsRequest : httpRequest;
  const plain = new URL(url);
  plain.protocol = ask === httpsRequest ? 'https:' : 'http:';
  const request = ask(plain, { method, headers, agent: false, signal, ...tls });
  request.on('upgrade', (response, socket, head) => {
    resolve({ socket, head, headers: response.headers, rawHeaders: response.rawHeaders });
  });
  request.on('response', (response) => {
    readBody(response).then(
      (body) => reject(new UpgradeRefused(url, response.statusCode ?? 0, body)),
      reject,
    );
  });
  request.on('error', (error) => {
    reject(
      new SkiffError('UNAVAILABLE', `Cannot stream from ${url.host}: ${error.message}`, { cause: error }),
    );
  });
  request.end();
  return promise;
}

async function readBody(response: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of response) {
    size += (chunk as Buffer).length;
    if (size > 64 * 1024) break;
    chunks.push(chunk as Buffer);
  }
  return Buffer.concat(chunks).toString();
}

/** Answers a client's wish to upgrade with an HTTP error, and closes the connection. */
export function refuseUpgrade(
  socket: Duplex,
  status: number,
  message: string,
  headers: Record<string, string> = {},
): void {
  const body = `${message}\n`;
  const lines = [
    `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? 'Error'}`,
    'Connection: close',
    'Content-Type: text/plain; charset=utf-8',
    `Content-Length: ${Buffer.byteLength(body)}`,
    ...Object.entries(headers).map(([name, value]) => `${name}: ${value}`),
  ];
  socket.on('error', () => {}); // The client may be gone already.
  socket.end(`${lines.join('\r\n')}\r\n\r\n${body}`);
  socket.once('finish', () => socket.destroy());
}

/** Answers 101 with these headers. */
export function acceptUpgrade(socket: Duplex, headers: Record<string, string>): void {
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}`);
  socket.write(`HTTP/1.1 101 Switching Protocols\r\n${lines.join('\r\n')}\r\n\r\n`);
}

/** The values of a header that lists things with commas. */
export function listHeader(value: string | string[] | undefined): string[] {
  const text = Array.isArray(value) ? value.join(',') : (value ?? '');
  return text
    .split(',')
    .map((each) => each.trim())
    .filter((each) => each !== '');
}

/** Which protocol a request wants to upgrade to. */
export function wantedUpgrade(request: IncomingMessage): 'spdy' | 'websocket' | undefined {
  const wishes = listHeader(request.headers.upgrade).map((each) => each.toLowerCase());
  if (wishes.includes('spdy/3.1')) return 'spdy';
  return wishes.includes('websocket') ? 'websocket' : undefined;
}
