/**
 * One GET on a connection of its own, written and read by hand: a node sends a hundred of them a second, and an HTTP
 * client's agents, pools and streams cost several times what the request does.
 */
import { connect, isIP, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { type Answer, answerReader } from './http-answer.ts';

/** Headers by name; a name may come several times. */
export type Headers = Readonly<Record<string, readonly string[] | string>>;

/** What limits a request. */
export interface GetLimits {
  signal?: AbortSignal | undefined;
  /** Milliseconds for all of it; endless if left out. */
  timeoutMs?: number;
}

/** The answer had begun when this happened: no verdict on the server. */
export class BodyError extends Error {
  override readonly name = 'BodyError';
}

/** The original's words for a time that is over. */
const lateHead = 'context deadline exceeded (Client.Timeout exceeded while awaiting headers)';
const lateBody = 'context deadline exceeded (Client.Timeout or context cancellation while reading body)';

/** What is read goes through here: nothing of it is kept without a copy. */
const scratch = Buffer.allocUnsafeSlow(16 * 1024);

/**
 * Sends a GET; no proxy, certificates are not checked, redirects not followed.
 *
 * @throws what Node does for a connection that fails, the signal's reason, or `BodyError`.
 */
export function get(url: URL, headers: Headers, { signal, timeoutMs }: GetLimits = {}): Promise<Answer> {
  return new Promise((resolve, reject) => {
    signal?.throwIfAborted();
    const request = requestOf(url, headers);
    const reader = answerReader();
    const close = () => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', cancel);
      socket.destroy();
    };
    const fail = (error: unknown) => {
      close();
      reject(reader.hasHead() ? new BodyError((error as Error).message) : error);
    };
    const cancel = () => {
      close();
      reject(signal?.reason);
    };
    const settle = (read: () => Answer | undefined) => {
      try {
        const answer = read();
        if (answer === undefined) return;
        close();
        resolve(answer);
      } catch (error) {
        fail(error);
      }
    };
    const socket = dial(url, (chunk) => settle(() => reader.take(chunk)));
    socket.on('error', fail);
    socket.on('end', () => settle(reader.end));
    const late = () => fail(new Error(reader.hasHead() ? lateBody : lateHead));
    const timer = timeoutMs === undefined ? undefined : setTimeout(late, timeoutMs);
    signal?.addEventListener('abort', cancel, { once: true });
    socket.write(request);
  });
}

/** Connects; what comes is given to `read`, which must not keep it. */
function dial(url: URL, read: (chunk: Buffer) => void): Socket {
  const host = url.hostname.replace(/^\[|\]$/g, '');
  const port = Number(url.port || (url.protocol === 'https:' ? 443 : 80));
  if (url.protocol === 'https:') {
    const name = isIP(host) === 0 ? { servername: host } : {};
    return connectTls({ host, port, rejectUnauthorized: false, ...name }).on('data', read);
  }
  const callback = (size: number) => {
    read(scratch.subarray(0, size));
    return true;
  };
  // Without `onread` Node would take 64 KB for each answer.
  return connect({ host, port, onread: { buffer: scratch, callback } }).resume();
}

/** Headers that are about the connection or a body are not the manifest's to say: Go's client leaves them out too. */
const notSent = new Set(['content-length', 'transfer-encoding', 'trailer']);

/** @throws Error for a header that would be two, or none. */
function requestOf(url: URL, headers: Headers): string {
  let lines = '';
  let host = url.host;
  let connection = 'close';
  let isAuthorized = false;
  for (const [name, values] of Object.entries(headers)) {
    if (!/^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/.test(name))
      throw new Error(`net/http: invalid header field name ${JSON.stringify(name)}`);
    const lower = name.toLowerCase();
    isAuthorized ||= lower === 'authorization';
    for (const value of typeof values === 'string' ? [values] : values) {
      if (!isFieldValue(value))
        throw new Error(`net/http: invalid header field value for ${JSON.stringify(name)}`);
      if (lower === 'host') host = value || host;
      else if (lower !== 'connection') lines += notSent.has(lower) ? '' : `${name}: ${value}\r\n`;
      else if (/\bupgrade\b/i.test(value)) connection = value;
    }
  }
  if (url.username !== '' && !isAuthorized) lines += `Authorization: Basic ${credentials(url)}\r\n`;
  return `GET ${url.pathname}${url.search} HTTP/1.1\r\nHost: ${host}\r\n${lines}Connection: ${connection}\r\n\r\n`;
}

/** Bytes of RFC 9110, 5.5: nothing that ends a line. */
function isFieldValue(value: string): boolean {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what must not be there
  return !/[\0-\x08\x0a-\x1f\x7f]/.test(value);
}

function credentials({ username, password }: URL): string {
  return Buffer.from(`${decodeURIComponent(username)}:${decodeURIComponent(password)}`).toString('base64');
}
