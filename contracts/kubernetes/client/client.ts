/**
 * A small REST client for any Kubernetes API server: JSON in, JSON out, failures as SkiffErrors that carry
 * the server's own Status. https://kubernetes.io/docs/reference/using-api/api-concepts/
 */
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { createSecureContext } from 'node:tls';
import { Agent, type Dispatcher, request } from 'undici';
import { type ErrorCode, messageOf, SkiffError, wrapError } from '#foundation/base/errors.ts';
import { decodeObject, protobufType } from '../protobuf/envelope.ts';
import type { Connection } from './kubeconfig.ts';

/** Query parameters; undefined ones are left out. */
export type Query = Record<string, string | number | boolean | undefined>;

/** How a PATCH body is meant. */
export type PatchType = 'json-patch' | 'merge-patch' | 'strategic-merge-patch' | 'apply-patch';

/** One event of a watch. */
export interface WatchEvent<T> {
  type: 'ADDED' | 'MODIFIED' | 'DELETED' | 'BOOKMARK' | 'ERROR';
  object: T;
}

/** How to call. */
export interface ApiCallOptions {
  query?: Query;
  signal?: AbortSignal;
  /** Milliseconds until the call fails with DEADLINE_EXCEEDED; 30,000 unless told. Not for watches. */
  timeoutMs?: number;
  /** The answer's model: it is asked for as protobuf, half as long as JSON. Only fields that Skiff knows arrive. */
  model?: string;
}

/** Calls of one API server as one identity. `path` is absolute: `/api/v1/namespaces/default/pods`. */
export interface ApiClient extends AsyncDisposable {
  get<T>(path: string, options?: ApiCallOptions): Promise<T>;
  /** A GET that answers text: logs, healthz. */
  text(path: string, options?: ApiCallOptions): Promise<string>;
  create<T>(path: string, body: unknown, options?: ApiCallOptions): Promise<T>;
  update<T>(path: string, body: unknown, options?: ApiCallOptions): Promise<T>;
  patch<T>(path: string, type: PatchType, body: unknown, options?: ApiCallOptions): Promise<T>;
  delete<T>(path: string, body?: unknown, options?: ApiCallOptions): Promise<T>;
  /** Events of a collection until the server ends the watch or `signal` aborts. @throws ABORTED on 410 Gone. */
  watch<T>(path: string, query: Query, signal?: AbortSignal): AsyncIterable<WatchEvent<T>>;
  /** A response whose body is streamed: followed logs. */
  stream(path: string, options?: ApiCallOptions): Promise<Dispatcher.ResponseData['body']>;
  close(): Promise<void>;
}

/** An error that the API server answered, with its Status. */
export class ApiError extends SkiffError {
  /** The HTTP status. */
  readonly status: number;
  /** The Status's reason: `NotFound`, `Conflict`, `AlreadyExists`, `Expired`... */
  readonly reason: string;

  constructor(status: number, reason: string, message: string) {
    super(codeOf(status, reason), message);
    this.status = status;
    this.reason = reason;
  }
}

/** Whether `error` is an answer of the API server with this reason. */
export function hasReason(error: unknown, reason: string): boolean {
  return error instanceof ApiError && error.reason === reason;
}

function codeOf(status: number, reason: string): ErrorCode {
  if (reason === 'AlreadyExists') return 'ALREADY_EXISTS';
  const codes: Record<number, ErrorCode> = {
    400: 'INVALID_ARGUMENT',
    401: 'UNAUTHENTICATED',
    403: 'PERMISSION_DENIED',
    404: 'NOT_FOUND',
    409: 'ABORTED',
    410: 'ABORTED',
    422: 'INVALID_ARGUMENT',
    429: 'RESOURCE_EXHAUSTED',
    501: 'UNIMPLEMENTED',
    503: 'UNAVAILABLE',
    504: 'DEADLINE_EXCEEDED',
  };
  return codes[status] ?? (status >= 500 ? 'INTERNAL' : 'FAILED_PRECONDITION');
}

/** How a client works. */
export interface ClientOptions {
  /** Milliseconds between two looks whether the certificate's file was replaced; 10,000 unless told. */
  identityCheckMs?: number;
  /** How many calls are under way at once; more wait. Watches and streams do not count. As many as come unless told. */
  calls?: number;
}

/** Opens a client; connections are kept alive and made on demand. */
export function openApi(connection: Connection, options: ClientOptions = {}): ApiClient {
  const agents = createAgents(connection, options);
  const send = sender(connection, agents.current);
  const json = async <T>(
    method: string,
    path: string,
    options?: ApiCallOptions,
    body?: unknown,
    type?: string,
  ) => {
    const response = await send(method, path, options, body, type);
    if (options?.model !== undefined && isProtobuf(response))
      return decodeObject(Buffer.from(await response.body.arrayBuffer()), options.model) as T;
    return parsed<T>(await response.body.text(), `${method} ${path}`);
  };
  return {
    get: (path, options) => json('GET', path, options),
    text: async (path, options) => (await send('GET', path, options)).body.text(),
    create: (path, body, options) => json('POST', path, options, body),
    update: (path, body, options) => json('PUT', path, options, body),
    patch: (path, type, body, options) => json('PATCH', path, options, body, patchMediaType(type)),
    delete: (path, body, options) => json('DELETE', path, options, body),
    watch: (path, query, signal) => watchEvents(send, path, query, signal),
    stream: async (path, options) => (await send('GET', path, { timeoutMs: 0, ...options })).body,
    close: agents.close,
    [Symbol.asyncDispose]: agents.close,
  };
}

function isProtobuf({ headers }: Dispatcher.ResponseData): boolean {
  return String(headers['content-type']).startsWith(protobufType);
}

/** @throws UNAVAILABLE for what no API server means: something that is ill, or stands in between, has answered. */
function parsed<T>(text: string, call: string): T {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    value = undefined;
  }
  if (typeof value === 'object' && value !== null) return value as T;
  const shown = text.slice(0, 100);
  throw new SkiffError('UNAVAILABLE', `${call}: the answer is no object: ${JSON.stringify(shown)}`);
}

/** Milliseconds between two looks whether the client's certificate was replaced. */
const identityCheckMs = 10_000;

/** Connections for calls, and for what lasts: watches and followed logs. */
interface Pair {
  calls: Agent;
  streams: Agent;
}

interface Agents {
  /** The connections for a call that begins now. */
  current(): Pair;
  close(): Promise<void>;
}

/** Connections; new ones when the client's certificate was replaced, while calls under way end on the old. */
function createAgents(connection: Connection, options: ClientOptions): Agents {
  const checkMs = options.identityCheckMs ?? identityCheckMs;
  let { cert, key } = connection;
  let pair = createPair(connection, { cert, key }, options.calls);
  let looked = performance.now();
  const look = () => {
    if (connection.identity === undefined || performance.now() - looked < checkMs) return;
    looked = performance.now();
    const now = readIdentity(connection.identity);
    if (now === undefined || (now.cert === cert && now.key === key)) return;
    ({ cert, key } = now);
    void Promise.all([pair.calls.close(), pair.streams.close()]);
    pair = createPair(connection, now, options.calls);
  };
  return {
    current: () => {
      look();
      return pair;
    },
    close: async () => {
      await Promise.all([pair.calls.destroy(), pair.streams.destroy()]);
    },
  };
}

/** Undefined while the files are not there: the old identity goes on. */
function readIdentity(read: NonNullable<Connection['identity']>) {
  try {
    return read();
  } catch {
    return undefined;
  }
}

/**
 * Milliseconds that a connection is kept without a call: longer than between two renewals of a lease, and shorter than
 * the 90 s after which kube-apiserver closes it.
 */
const keepAliveMs = 60_000;

function createPair(
  connection: Connection,
  identity: { cert?: string; key?: string },
  calls: number | undefined,
): Pair {
  const connect = {
    // Reading certificates and keys anew for each connection would cost as much as its handshake.
    secureContext: createSecureContext({ ca: connection.ca, ...identity }),
    servername: connection.serverName,
    rejectUnauthorized: connection.insecure !== true,
    timeout: 10_000,
  };
  const common = { connect, bodyTimeout: 0, pipelining: 1, keepAliveTimeout: keepAliveMs };
  return { calls: new Agent({ ...common, connections: calls ?? null }), streams: new Agent(common) };
}

function patchMediaType(type: PatchType): string {
  return `application/${type}+${type === 'apply-patch' ? 'yaml' : 'json'}`;
}

type Send = (
  method: string,
  path: string,
  options?: ApiCallOptions,
  body?: unknown,
  type?: string,
) => Promise<Dispatcher.ResponseData>;

/** Times that a call is made again because the server said when to come back; client-go's. */
const mostRetries = 10;

function sender(connection: Connection, agents: () => Pair): Send {
  return async (method, path, options = {}, body, type = 'application/json') => {
    const url = `${connection.server}${path}${queryText(options.query)}`;
    const token = connection.token?.();
    const accept = options.model === undefined ? 'application/json' : `${protobufType}, application/json`;
    const headers: Record<string, string> = { accept, 'user-agent': 'skiff' };
    if (token !== undefined) headers.authorization = `Bearer ${token}`;
    if (body !== undefined) headers['content-type'] = type;
    const timeout = options.timeoutMs ?? 30_000;
    const limits = timeout === 0 ? [] : [AbortSignal.timeout(timeout)];
    const signal = AbortSignal.any([...limits, ...(options.signal ? [options.signal] : [])]);
    const text = body === undefined ? undefined : JSON.stringify(body);
    for (let tries = 0; ; tries += 1) {
      const response = await request(url, {
        method: method as Dispatcher.HttpMethod,
        headers,
        body: text,
        dispatcher: timeout === 0 ? agents().streams : agents().calls,
        signal,
        headersTimeout: timeout,
      }).catch((error: unknown) => {
        throw unreachable(error, method, path, connection.server);
      });
      if (response.statusCode < 400) return response;
      const failure = await answerError(response, method, path);
      const pause = retryAfterMs(response);
      if (pause === undefined || tries >= mostRetries) throw failure;
      await sleep(pause, undefined, { signal }).catch(() => {
        throw failure;
      });
    }
  };
}

/** Milliseconds after which a server that is busy (429) or ill (5xx) wants to be asked again; RFC 9110, 10.2.3. */
function retryAfterMs({ statusCode, headers }: Dispatcher.ResponseData): number | undefined {
  if (statusCode !== 429 && statusCode < 500) return undefined;
  const seconds = Number(headers['retry-after'] ?? Number.NaN);
  return Number.isInteger(seconds) && seconds >= 0 ? seconds * 1000 : undefined;
}

function unreachable(error: unknown, method: string, path: string, server: string): SkiffError {
  const wrapped = wrapError(error, `Cannot ${method} ${path} at ${server}`);
  if (wrapped.code === 'CANCELLED' || wrapped.code === 'DEADLINE_EXCEEDED') return wrapped;
  return new SkiffError('UNAVAILABLE', wrapped.message, { cause: error });
}

async function answerError(
  response: Dispatcher.ResponseData,
  method: string,
  path: string,
): Promise<ApiError> {
  const bytes = Buffer.from(await response.body.arrayBuffer().catch(() => new ArrayBuffer()));
  const text = bytes.toString();
  try {
    const read = isProtobuf(response) ? decodeObject(bytes, 'Status') : JSON.parse(text);
    const status = read as { reason?: string; message?: string };
    return new ApiError(response.statusCode, status.reason ?? '', status.message ?? text);
  } catch {
    const shown = text.trim().slice(0, 500) || 'no message';
    return new ApiError(response.statusCode, '', `${method} ${path}: HTTP ${response.statusCode}: ${shown}`);
  }
}

function queryText(query: Query | undefined): string {
  const pairs = Object.entries(query ?? {}).filter(([, value]) => value !== undefined);
  if (pairs.length === 0) return '';
  return `?${new URLSearchParams(pairs.map(([key, value]) => [key, String(value)]))}`;
}

async function* watchEvents<T>(
  send: Send,
  path: string,
  query: Query,
  signal?: AbortSignal,
): AsyncGenerator<WatchEvent<T>> {
  const response = await send('GET', path, { query: { ...query, watch: true }, signal, timeoutMs: 0 });
  const lines = createInterface({ input: response.body, crlfDelay: Number.POSITIVE_INFINITY });
  try {
    for await (const line of lines) {
      if (line === '') continue;
      const event = JSON.parse(line) as WatchEvent<T>;
      if (event.type === 'ERROR') throw watchError(event.object);
      yield event;
    }
  } catch (error) {
    if (signal?.aborted) return;
    throw error instanceof SkiffError
      ? error
      : new SkiffError('UNAVAILABLE', `The watch of ${path} broke: ${messageOf(error)}`);
  } finally {
    lines.close();
    response.body.destroy();
  }
}

function watchError(object: unknown): ApiError {
  const status = object as { code?: number; reason?: string; message?: string };
  return new ApiError(
    status.code ?? 500,
    status.reason ?? '',
    status.message ?? 'the watch ended with an error',
  );
}
