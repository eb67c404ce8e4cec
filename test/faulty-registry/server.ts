/**
 * A registry in this process that misbehaves on purpose. It serves one sample image honestly (GET, HEAD,
 * Range, uploads); a fault sees each request first and may answer in its stead.
 */
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { Socket } from 'node:net';
import { type SampleImage, sampleImage, sha256 } from './sample.ts';

/** A request as it came. */
export interface Hit {
  method: string;
  /** With the query. */
  path: string;
  headers: IncomingMessage['headers'];
  body: string;
}

/** What a fault works with. */
export interface FaultContext {
  request: IncomingMessage;
  response: ServerResponse;
  registry: FaultyRegistry;
  kind: 'manifest' | 'blob' | 'upload' | 'token' | 'other';
  /** How many requests of this kind and method there were, this one included. */
  nth: number;
  /** What would be sent: the manifest or the blob. */
  content: Buffer;
  /** The first byte that a Range asks for; undefined without one. */
  rangeStart: number | undefined;
  hit: Hit;
}

/** Answers and returns true, or returns nothing and leaves the request to the honest registry. */
export type Fault = (context: FaultContext) => boolean | undefined | Promise<boolean | undefined>;

/** A running registry. */
export interface FaultyRegistry extends AsyncDisposable {
  /** `127.0.0.1:port`. */
  address: string;
  url: string;
  image: SampleImage;
  hits: Hit[];
  /** What has arrived of uploads, by session. */
  sessions: Map<string, Buffer>;
  fault: Fault | undefined;
}

/** How to run. */
export interface FaultyOptions {
  image?: SampleImage;
  fault?: Fault;
  tls?: { cert: string; key: string; ca?: string; requestCert?: boolean };
}

/** Starts a registry on a free port of loopback. */
export async function startFaultyRegistry(options: FaultyOptions = {}): Promise<FaultyRegistry> {
  const { image = sampleImage(), tls } = options;
  const counts = new Map<string, number>();
  const listener = (request: IncomingMessage, response: ServerResponse) => {
    handle(registry, counts, request, response).catch(() => response.destroy());
  };
  const server =
    tls === undefined
      ? createServer(listener)
      : createTlsServer({ ...tls, rejectUnauthorized: tls.requestCert === true }, listener);
  const sockets = new Set<Socket>();
  server.on('connection', (socket: Socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    socket.on('error', () => {});
  });
  server.on('tlsClientError', () => {});
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const bound = server.address();
  if (bound === null || typeof bound === 'string') throw new Error('no port');
  const address = `127.0.0.1:${bound.port}`;
  const registry: FaultyRegistry = {
    address,
    url: `${tls === undefined ? 'http' : 'https'}://${address}`,
    image,
    hits: [],
    sessions: new Map(),
    fault: options.fault,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
  return registry;
}

async function handle(
  registry: FaultyRegistry,
  counts: Map<string, number>,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const path = request.url ?? '';
  const method = request.method ?? '';
  const kind = kindOf(path);
  const key = `${method} ${kind}`;
  const nth = (counts.get(key) ?? 0) + 1;
  counts.set(key, nth);
  const hit: Hit = { method, path, headers: request.headers, body: '' };
  registry.hits.push(hit);
  const start = /^bytes=(\d+)-$/.exec(request.headers.range ?? '')?.[1];
  const rangeStart = start === undefined ? undefined : Number(start);
  const content = contentOf(registry.image, path);
  const context = { request, response, registry, kind, nth, content, rangeStart, hit };
  if ((await registry.fault?.(context)) === true) return;
  await serve(context);
}

function kindOf(path: string): FaultContext['kind'] {
  if (path.includes('/blobs/uploads/')) return 'upload';
  if (path.includes('/blobs/')) return 'blob';
  if (path.includes('/manifests/')) return 'manifest';
  return path.startsWith('/token') ? 'token' : 'other';
}

function contentOf(image: SampleImage, path: string): Buffer {
  const blob = /\/blobs\/([^?]+)/.exec(path)?.[1];
  return blob === undefined ? image.manifest : (image.blobs.get(blob) ?? Buffer.alloc(0));
}

/** Answers as a registry should. */
export async function serve(context: FaultContext): Promise<void> {
  const { response, kind, registry, content } = context;
  if (kind === 'upload') return serveUpload(context);
  if (kind === 'token') return sendJson(response, 200, { token: 'a-token', expires_in: 300 });
  if (kind === 'manifest' && context.request.method === 'PUT') return storeManifest(context);
  if (kind === 'other' || content.length === 0)
    return sendJson(response, 404, { errors: [{ code: 'NOT_FOUND', message: 'not here' }] });
  const type = kind === 'manifest' ? registry.image.descriptor.mediaType : 'application/octet-stream';
  const start = kind === 'blob' ? (context.rangeStart ?? 0) : 0;
  const headers: Record<string, string> = {
    'content-type': type,
    'content-length': String(content.length - start),
    'docker-content-digest': sha256(content),
  };
  if (start > 0) headers['content-range'] = `bytes ${start}-${content.length - 1}/${content.length}`;
  response.writeHead(start > 0 ? 206 : 200, headers);
  response.end(context.request.method === 'HEAD' ? undefined : content.subarray(start));
}

async function storeManifest({ request, response, registry, hit }: FaultContext): Promise<void> {
  const body = await readRequest(request);
  hit.body = body.toString();
  registry.image.manifest = body;
  response.writeHead(201, { 'docker-content-digest': sha256(body) }).end();
}

/** An upload session: POST opens it, PATCH adds to it, GET tells how far it is, PUT ends it. */
async function serveUpload({ request, response, registry, hit }: FaultContext): Promise<void> {
  const { sessions } = registry;
  if (request.method === 'POST') {
    const id = `session-${sessions.size}`;
    sessions.set(id, Buffer.alloc(0));
    response.writeHead(202, { location: `/v2/app/blobs/uploads/${id}?_state=x`, 'content-length': 0 }).end();
    return;
  }
  const id = /\/uploads\/([^?]+)/.exec(hit.path)?.[1] ?? '';
  const stored = sessions.get(id) ?? Buffer.alloc(0);
  const start = Number(/^(\d+)-/.exec(request.headers['content-range'] ?? '')?.[1] ?? stored.length);
  const body = await readRequest(request);
  const whole = Buffer.concat([stored, body]);
  const state = (bytes: Buffer) => ({
    location: `/v2/app/blobs/uploads/${id}?_state=${bytes.length}`,
    range: `0-${Math.max(0, bytes.length - 1)}`,
    'content-length': 0,
  });
  if (request.method === 'PATCH' && start !== stored.length)
    return void response.writeHead(416, state(stored)).end();
  if (request.method === 'PATCH' || request.method === 'GET') {
    sessions.set(id, whole);
    response.writeHead(request.method === 'PATCH' ? 202 : 204, state(whole)).end();
    return;
  }
  if (request.method === 'PUT') {
    const digest = new URL(hit.path, 'http://x').searchParams.get('digest') ?? '';
    if (sha256(whole) !== digest) return sendJson(response, 400, { errors: [{ code: 'DIGEST_INVALID' }] });
    registry.image.blobs.set(digest, whole);
  }
  sessions.delete(id);
  response.writeHead(request.method === 'PUT' ? 201 : 204, { 'content-length': 0 }).end();
}

/** Reads the body of a request. */
export async function readRequest(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk);
  return Buffer.concat(chunks);
}

/** Answers with JSON. */
export function sendJson(
  response: ServerResponse,
  status: number,
  body: unknown,
  headers: Record<string, string> = {},
): void {
  response.writeHead(status, { 'content-type': 'application/json', ...headers });
  response.end(JSON.stringify(body));
}
