/**
 * A read-only OCI registry on loopback (distribution-spec 1.1: pull only), so that the suite needs none from
 * outside. It can also misbehave: ask for a password, stall, or fail.
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { BuiltImage } from './build.ts';

/** A running registry. */
export interface TestRegistry extends AsyncDisposable {
  /** `127.0.0.1:port`. */
  readonly host: string;
  /** Publishes an image. @returns its reference: `127.0.0.1:port/name:tag`. */
  publish(name: string, image: BuiltImage): string;
  /** How a repository answers, by its name's first part: `private/...`, `stalling/...`, `failing/...`. */
  readonly password: { username: string; password: string };
  /** Blobs served until now. */
  readonly served: number;
}

/** Starts a registry on a free port of 127.0.0.1. */
export async function startRegistry(): Promise<TestRegistry> {
  const manifests = new Map<string, BuiltImage>();
  const blobs: BuiltImage['blobs'] = new Map();
  const password = { username: 'tester', password: 'correct horse' };
  const count = { served: 0 };
  const server = createServer((request, response) =>
    answer(request, response, { manifests, blobs, password, count }),
  );
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const host = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  return {
    host,
    password,
    get served() {
      return count.served;
    },
    publish: (name, image) => {
      const [repository = name, tag = 'latest'] = name.split(':');
      manifests.set(`${repository}:${tag}`, image);
      manifests.set(`${repository}:${image.manifest.digest}`, image);
      for (const [digest, blob] of image.blobs) blobs.set(digest, blob);
      return `${host}/${repository}:${tag}`;
    },
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

interface Content {
  manifests: Map<string, BuiltImage>;
  blobs: BuiltImage['blobs'];
  password: { username: string; password: string };
  count: { served: number };
}

function answer(request: IncomingMessage, response: ServerResponse, content: Content): void {
  const path = new URL(request.url ?? '/', 'http://x').pathname;
  if (path === '/v2/' || path === '/v2') return void response.writeHead(200).end('{}');
  const found = /^\/v2\/(.+)\/(manifests|blobs)\/([^/]+)$/.exec(path);
  const [, repository = '', kind = '', reference = ''] = found ?? [];
  if (repository.startsWith('private/') && !authorized(request, content)) {
    response.writeHead(401, { 'WWW-Authenticate': 'Basic realm="test"' });
    return void response.end('{"errors":[{"code":"UNAUTHORIZED"}]}');
  }
  if (repository.startsWith('failing/')) return void response.writeHead(500).end('{"errors":[]}');
  if (repository.startsWith('stalling/')) return; // Never answers.
  const digest =
    kind === 'manifests' ? content.manifests.get(`${repository}:${reference}`)?.manifest.digest : reference;
  const blob = content.blobs.get(digest ?? '');
  if (blob === undefined || digest === undefined) {
    response.writeHead(404, { 'Content-Type': 'application/json' });
    return void response.end('{"errors":[{"code":"MANIFEST_UNKNOWN","message":"not here"}]}');
  }
  if (kind === 'blobs' && request.method === 'GET') content.count.served += 1;
  response.writeHead(200, {
    'Content-Type': kind === 'manifests' ? blob.mediaType : 'application/octet-stream',
    'Content-Length': blob.bytes.length,
    'Docker-Content-Digest': digest,
  });
  response.end(request.method === 'HEAD' ? undefined : blob.bytes);
}

function authorized(request: IncomingMessage, { password }: Content): boolean {
  const expected = Buffer.from(`${password.username}:${password.password}`).toString('base64');
  return request.headers.authorization === `Basic ${expected}`;
}
