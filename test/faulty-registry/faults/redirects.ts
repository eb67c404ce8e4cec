/** Faults of redirects; above all, that credentials stay where they belong. */
import assert from 'node:assert/strict';
import { type FaultCase, pull, readLayer, resolveIt, type Scene } from '../case.ts';
import { authority, certificateFor } from '../certificates.ts';
import type { Fault } from '../server.ts';

/** Redirects requests for blobs (or manifests) to wherever `to` says; asks for a login before. */
function redirects(
  to: (scene: Scene, path: string) => string | undefined,
  options: { kind?: string; status?: number; login?: boolean } = {},
) {
  return (scene: Scene): Fault =>
    ({ kind, request, response, hit }) => {
      if (options.login === true && request.headers.authorization === undefined) {
        response.writeHead(401, { 'www-authenticate': 'Basic realm="test"' }).end();
        return true;
      }
      if (kind !== (options.kind ?? 'blob')) return false;
      const location = to(scene, hit.path);
      response.writeHead(options.status ?? 307, location === undefined ? {} : { location }).end('elsewhere');
      return true;
    };
}

const toOther = ({ other }: Scene, path: string) => `${other.url}${path}`;
const login = { username: 'user', password: 'secret' };
const withSecretHeader = ({ registry }: Scene) =>
  `server = "${registry.url}"\nskip_verify = true\n[header]\nx-secret = "for the registry alone"\n`;

/** That the other host was asked and learned nothing. */
function learnedNothing({ other, registry }: Scene): void {
  assert.ok(other.hits.length > 0, 'the redirect was not followed');
  for (const { headers } of other.hits) {
    assert.equal(headers.authorization, undefined);
    assert.equal(headers['x-secret'], undefined);
    assert.equal(headers.cookie, undefined);
  }
  assert.ok(registry.hits.some(({ headers }) => headers.authorization?.startsWith('Basic ')));
}

const tls = await certificateFor('127.0.0.1');
const trusting = ({ registry }: Scene) => `server = "${registry.url}"\nca = "${authority.path}"\n`;

export const redirectFaults: FaultCase[] = [
  ...[301, 302, 303, 307, 308].map(
    (status): FaultCase => ({
      name: `a blob is at another host (${status}), which must not learn the credentials`,
      auth: login,
      hostsToml: withSecretHeader,
      fault: redirects(toOther, { status, login: true }),
      after: learnedNothing,
    }),
  ),
  {
    name: 'a manifest is at another host, which must not learn the credentials',
    auth: login,
    does: resolveIt,
    hostsToml: withSecretHeader,
    fault: redirects(toOther, { kind: 'manifest', login: true }),
    after: learnedNothing,
  },
  {
    name: 'the other host asks for a login and gets none',
    auth: login,
    fault: redirects(toOther, { login: true }),
    otherFault:
      () =>
      ({ response }) => {
        response.writeHead(401, { 'www-authenticate': 'Basic realm="give me your password"' }).end();
        return true;
      },
    fails: { code: 'UNAUTHENTICATED', says: /wants credentials/ },
    after: (scene) => {
      learnedNothing(scene);
      assert.equal(scene.other.hits.length, 1);
    },
  },
  {
    name: 'the other host names a token server of its own, which gets no credentials',
    auth: login,
    fault: redirects(toOther, { login: true }),
    otherFault:
      ({ other }) =>
      ({ kind, response }) => {
        if (kind === 'token') return false;
        response.writeHead(401, { 'www-authenticate': `Bearer realm="${other.url}/token"` }).end();
        return true;
      },
    fails: { code: 'UNAUTHENTICATED', says: /wants credentials/ },
    after: (scene) => {
      learnedNothing(scene);
      assert.equal(scene.other.hits.length, 1);
    },
  },
  {
    name: 'the other host refuses the signed address',
    fault: redirects(toOther),
    otherFault:
      () =>
      ({ response }) => {
        response.writeHead(403).end('<Error><Code>AccessDenied</Code></Error>');
        return true;
      },
    fails: { code: 'PERMISSION_DENIED', says: /access denied/ },
  },
  {
    name: 'a redirect within the registry keeps the credentials',
    auth: login,
    fault: redirects((_, path) => (path.includes('x=1') ? undefined : `${path}?x=1`), { login: true }),
    does: async (scene) => {
      const { fault } = scene.registry;
      scene.registry.fault = (context) => (context.hit.path.includes('x=1') ? false : fault?.(context));
      await pull(scene);
    },
    after: ({ registry }) => {
      const last = registry.hits.at(-1);
      assert.match(last?.path ?? '', /x=1/);
      assert.match(last?.headers.authorization ?? '', /^Basic /);
    },
  },
  {
    name: 'redirects in a circle',
    fault: redirects((_, path) => path),
    fails: { code: 'FAILED_PRECONDITION', says: /redirects more than 10 times/ },
    after: ({ registry }) => assert.equal(registry.hits.length, 12),
  },
  {
    name: 'a redirect to nowhere',
    fault: redirects(() => undefined),
    fails: { code: 'FAILED_PRECONDITION', says: /redirects without a valid location/ },
  },
  {
    name: 'a redirect to a file',
    fault: redirects(() => 'file:///etc/shadow'),
    fails: { code: 'FAILED_PRECONDITION', says: /redirects to a file: address/ },
  },
  {
    name: 'a redirect to a host that is not there',
    fault: redirects(() => 'http://127.0.0.1:1/blob'),
    fails: { code: 'UNKNOWN', says: /127\.0\.0\.1:1 refuses connections/ },
  },
  {
    name: 'a transfer from the other host that breaks is taken up through the registry',
    fault: redirects(toOther),
    otherFault:
      () =>
      ({ nth, response, content }) => {
        if (nth > 1) return false;
        response.writeHead(200, { 'content-length': content.length });
        response.write(content.subarray(0, 100_000), () => response.socket?.resetAndDestroy());
        return true;
      },
    after: ({ registry, other }) => {
      assert.equal(registry.hits.filter(({ path }) => path.includes('/blobs/')).length, 2);
      assert.match(other.hits[1]?.headers.range ?? '', /^bytes=[1-9]/);
    },
  },
  {
    name: 'a manifest is redirected from https to http',
    tls,
    hostsToml: trusting,
    does: resolveIt,
    fault: redirects(toOther, { kind: 'manifest' }),
    fails: { code: 'FAILED_PRECONDITION', says: /redirects from https to http/ },
    after: ({ other }) => assert.equal(other.hits.length, 0),
  },
  {
    name: 'a blob is redirected from https to http, where its digest protects it',
    tls,
    hostsToml: trusting,
    does: readLayer,
    fault: redirects(toOther),
  },
];
