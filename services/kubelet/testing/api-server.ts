/**
 * A small API server for tests: collections in memory, lists, watches, merge patches, deletion with grace. It
 * judges nothing; it records every request.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { KubeObject } from '#contracts/kubernetes/types.ts';

export interface FakeApiServer extends AsyncDisposable {
  readonly url: string;
  /** `PATCH /api/v1/...`, in order. */
  readonly requests: string[];
  put(path: string, object: KubeObject): void;
  get<T extends KubeObject>(path: string): T | undefined;
  remove(path: string): void;
  /** Objects whose path begins so. */
  list<T extends KubeObject>(prefix: string): T[];
  /** Ends all watches; with `gone` the next ones are told 410. */
  breakWatches(gone?: boolean): void;
  /** What every call gets instead of its answer; undefined for none. */
  illness: Illness | undefined;
}

/** How a server is ill: it refuses everybody for a second, fails, talks nonsense, or hangs up. */
export type Illness = 'busy' | 'failing' | 'garbage' | 'closing';

interface State {
  objects: Map<string, KubeObject>;
  version: number;
  watches: Set<{ matches: (path: string, object: KubeObject) => boolean; response: ServerResponse }>;
  requests: string[];
  gone: boolean;
  /** Everything that happened, for watches that begin at an older version. */
  history: { version: number; type: string; path: string; object: KubeObject }[];
}

export async function startFakeApi(): Promise<FakeApiServer> {
  const state: State = {
    objects: new Map(),
    version: 1,
    watches: new Set(),
    requests: [],
    gone: false,
    history: [],
  };
  const server: Server = createServer((request, response) => {
    if (fake.illness !== undefined) {
      state.requests.push(`${request.method} ${request.url}`);
      answerIll(fake.illness, response);
      return;
    }
    handle(state, request, response).catch((error: unknown) =>
      answer(response, 500, { message: String(error) }),
    );
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const fake: FakeApiServer = {
    illness: undefined,
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests: state.requests,
    put: (path, object) => store(state, path, object),
    get: <T extends KubeObject>(path: string) => state.objects.get(path) as T | undefined,
    remove: (path) => drop(state, path),
    list: <T extends KubeObject>(prefix: string) =>
      [...state.objects].flatMap(([path, object]) => (path.startsWith(prefix) ? [object as T] : [])),
    breakWatches(gone = false) {
      state.gone = gone;
      for (const { response } of state.watches) response.end();
      state.watches.clear();
    },
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
  return fake;
}

function answerIll(illness: Illness, response: ServerResponse): void {
  const type = { 'content-type': 'application/json' };
  if (illness === 'busy') response.writeHead(429, { ...type, 'retry-after': '1' }).end('{"code":429}');
  else if (illness === 'failing') response.writeHead(500, type).end('{"code":500,"message":"ill"}');
  else if (illness === 'garbage') response.writeHead(200, type).end('<html>{"items":\0');
  else response.destroy();
}

function store(state: State, path: string, object: KubeObject): KubeObject {
  state.version += 1;
  const type = state.objects.has(path) ? 'MODIFIED' : 'ADDED';
  const uid = object.metadata.uid ?? `uid-${state.version}`;
  const whole = { ...object, metadata: { ...object.metadata, uid, resourceVersion: String(state.version) } };
  const kept = withoutEmptyLists(whole);
  state.objects.set(path, kept);
  tell(state, type, path, kept);
  return kept;
}

/** As API servers answer: `omitempty`. */
function withoutEmptyLists<T>(object: T): T {
  const text = JSON.stringify(object, (_, value: unknown) =>
    Array.isArray(value) && value.length === 0 ? undefined : value,
  );
  return JSON.parse(text) as T;
}

function drop(state: State, path: string): void {
  const object = state.objects.get(path);
  if (object === undefined) return;
  state.version += 1;
  state.objects.delete(path);
  tell(state, 'DELETED', path, {
    ...object,
    metadata: { ...object.metadata, resourceVersion: String(state.version) },
  });
}

function tell(state: State, type: string, path: string, object: KubeObject): void {
  state.history.push({ version: state.version, type, path, object });
  for (const { matches, response } of state.watches) {
    if (matches(path, object)) response.write(`${JSON.stringify({ type, object })}\n`);
  }
}

/** `/api/v1/pods` covers every namespace; a field selector narrows. */
function matcher(url: URL): (path: string, object: KubeObject) => boolean {
  const [, root = '', resource = ''] = /^(.*)\/([^/]+)$/.exec(url.pathname) ?? [];
  const [field, value] = (url.searchParams.get('fieldSelector') ?? '').split('=');
  return (path, object) => {
    const inside =
      path.startsWith(`${url.pathname}/`) ||
      (path.startsWith(`${root}/namespaces/`) && path.includes(`/${resource}/`));
    if (!inside || !field) return inside;
    const found = field
      .split('.')
      .reduce<unknown>((at, key) => (at as Record<string, unknown> | undefined)?.[key], object);
    return found === value;
  };
}

async function handle(state: State, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const url = new URL(request.url ?? '/', 'http://api');
  const path = url.pathname.replace(/\/(status|token)$/, '');
  const isWatch = url.searchParams.get('watch') === 'true';
  state.requests.push(`${isWatch ? 'WATCH' : request.method} ${url.pathname}`);
  const body = await readBody(request);
  if (isWatch) return watch(state, url, response);
  if (request.method === 'POST' && url.pathname.endsWith('/token')) {
    const status = { token: 'a-token', expirationTimestamp: '2099-01-01T00:00:00Z' };
    return answer(response, 201, { status });
  }
  if (request.method === 'POST') return post(state, path, body as KubeObject, response);
  const object = state.objects.get(path);
  if (request.method === 'GET' && object === undefined && isCollection(path)) {
    const matches = matcher(url);
    const items = [...state.objects].flatMap(([key, each]) => (matches(key, each) ? [each] : []));
    return answer(response, 200, { items, metadata: { resourceVersion: String(state.version) } });
  }
  if (object === undefined)
    return answer(response, 404, { reason: 'NotFound', message: `${path} not found` });
  if (request.method === 'GET') return answer(response, 200, object);
  if (request.method === 'DELETE') {
    drop(state, path);
    return answer(response, 200, object);
  }
  const { uid = object.metadata.uid } = (body as Partial<KubeObject>).metadata ?? {};
  if (uid !== object.metadata.uid)
    return answer(response, 409, { reason: 'Conflict', message: `the UID of ${path} is another` });
  const merged = request.method === 'PUT' ? body : merge(object, body);
  return answer(response, 200, store(state, path, merged as KubeObject));
}

function isCollection(path: string): boolean {
  return /\/(pods|nodes|services|configmaps|secrets|leases|events)$/.test(path);
}

function watch(state: State, url: URL, response: ServerResponse): void {
  response.writeHead(200, { 'content-type': 'application/json' });
  if (state.gone) {
    state.gone = false;
    response.end(
      `${JSON.stringify({ type: 'ERROR', object: { code: 410, reason: 'Expired', message: 'too old' } })}\n`,
    );
    return;
  }
  response.flushHeaders();
  const entry = { matches: matcher(url), response };
  const from = Number(url.searchParams.get('resourceVersion') ?? state.version);
  for (const { version, type, path, object } of state.history) {
    if (version > from && entry.matches(path, object))
      response.write(`${JSON.stringify({ type, object })}\n`);
  }
  state.watches.add(entry);
  response.on('close', () => state.watches.delete(entry));
}

function post(state: State, path: string, object: KubeObject, response: ServerResponse): void {
  const full = `${path}/${object.metadata.name}`;
  if (state.objects.has(full)) answer(response, 409, { reason: 'AlreadyExists', message: 'it exists' });
  else answer(response, 201, store(state, full, object));
}

/** A merge patch, with strategic merge's directives dropped and conditions merged by type. */
function merge(target: unknown, patch: unknown): unknown {
  if (typeof patch !== 'object' || patch === null) return patch;
  if (Array.isArray(patch))
    return patch.filter((each) => !(typeof each === 'object' && each !== null && '$patch' in each));
  const result: Record<string, unknown> = { ...(target as Record<string, unknown>) };
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) delete result[key];
    else result[key] = merge(result[key], value);
  }
  return result;
}

async function readBody(request: IncomingMessage): Promise<unknown> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  const text = Buffer.concat(chunks).toString();
  return text === '' ? undefined : JSON.parse(text);
}

function answer(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
}
