/** Faults of authentication: challenges, token servers, and who may learn which credentials. */
import assert from 'node:assert/strict';
import { type FaultCase, pull, readLayer, resolveIt, type Scene } from '../case.ts';
import { authority, certificateFor } from '../certificates.ts';
import { type Fault, type FaultContext, readRequest, sendJson } from '../server.ts';

const login = { username: 'user', password: 'secret' };
const basicOf = (text: string) => `Basic ${Buffer.from(text).toString('base64')}`;

interface TokenOptions {
  /** Answers requests to the token server. */
  token?: (context: FaultContext, scene: Scene) => void | Promise<void>;
  /** The challenge. */
  challenge?: (scene: Scene) => string | string[] | undefined;
  /** Whether the registry takes a header. */
  accepts?: (header: string, scene: Scene) => boolean;
}

/** A registry that wants tokens from its own `/token`. */
function tokens(options: TokenOptions = {}): (scene: Scene) => Fault {
  return (scene) => async (context) => {
    const { kind, request, response } = context;
    if (kind === 'token') {
      if (options.token === undefined) return false;
      await options.token(context, scene);
      return true;
    }
    const header = request.headers.authorization ?? '';
    if (options.accepts?.(header, scene) ?? header === 'Bearer a-token') return false;
    const challenge = (options.challenge ?? bearer)(scene);
    sendJson(
      response,
      401,
      { errors: [{ code: 'UNAUTHORIZED', message: 'authentication required' }] },
      {
        ...(challenge === undefined ? {} : { 'www-authenticate': challenge as string }),
      },
    );
    return true;
  };
}

function bearer({ registry }: Scene): string {
  return `Bearer realm="${registry.url}/token",service="a registry",scope="repository:app:pull"`;
}

function tokenHits({ registry }: Scene) {
  return registry.hits.filter(({ path }) => path.startsWith('/token'));
}

const giving =
  (body: unknown, status = 200) =>
  (context: FaultContext) =>
    sendJson(context.response, status, body);

const tls = await certificateFor('127.0.0.1');

export const loginFaults: FaultCase[] = [
  {
    name: 'an anonymous token',
    fault: tokens(),
    after: (scene) => {
      const [hit, ...more] = tokenHits(scene);
      assert.equal(more.length, 0, 'the token serves all requests');
      assert.equal(hit?.path, '/token?service=a+registry&scope=repository%3Aapp%3Apull');
      assert.equal(hit?.headers.authorization, undefined);
    },
  },
  {
    name: 'a token for a user',
    auth: login,
    fault: tokens(),
    after: (scene) => {
      assert.equal(tokenHits(scene)[0]?.headers.authorization, basicOf('user:secret'));
      const asked = scene.registry.hits.filter(({ path }) => path.startsWith('/v2/'));
      assert.ok(asked.every(({ headers }) => !headers.authorization?.startsWith('Basic')));
    },
  },
  {
    name: 'an identity token is traded by POST',
    auth: { identityToken: 'refresh-me' },
    fault: tokens({
      async token({ request, response, hit }) {
        hit.body = (await readRequest(request)).toString();
        sendJson(response, 200, { access_token: 'a-token', refresh_token: 'next', expires_in: 60 });
      },
    }),
    after: (scene) => {
      const [hit] = tokenHits(scene);
      const form = new URLSearchParams(hit?.body);
      assert.equal(hit?.method, 'POST');
      assert.equal(form.get('grant_type'), 'refresh_token');
      assert.equal(form.get('refresh_token'), 'refresh-me');
      assert.equal(form.get('service'), 'a registry');
      assert.equal(form.get('scope'), 'repository:app:pull');
      assert.doesNotMatch(hit?.path ?? '', /refresh/, 'no secret stands in a URL');
    },
  },
  {
    name: 'an identity token that the server has revoked',
    auth: { identityToken: 'refresh-me' },
    fault: tokens({ token: giving({ error: 'invalid_grant', error_description: 'revoked' }, 401) }),
    fails: { code: 'UNAUTHENTICATED', says: /token server .* \(invalid_grant: revoked\)/ },
  },
  {
    name: 'a ready-made registry token',
    auth: { registryToken: 'a-token' },
    fault: tokens(),
    after: (scene) => assert.equal(tokenHits(scene).length, 0),
  },
  {
    name: 'a registry token that is refused',
    auth: { registryToken: 'stale' },
    fault: tokens(),
    fails: { code: 'UNAUTHENTICATED', says: /refused the credentials/ },
  },
  {
    name: 'base64 credentials with NULs around the password',
    auth: { auth: Buffer.from('user:secret\0\0').toString('base64') },
    fault: tokens({
      challenge: () => 'Basic realm="x"',
      accepts: (header) => header === basicOf('user:secret'),
    }),
  },
  {
    name: 'base64 credentials that are none',
    auth: { auth: '!!!' },
    fails: { code: 'INVALID_ARGUMENT', says: /The auth field of the credentials must be base64/ },
    after: ({ registry }) => assert.equal(registry.hits.length, 0),
  },
  {
    name: 'credentials for another server are not sent',
    auth: { ...login, serverAddress: 'https://elsewhere.example/v1/' },
    fault: tokens({ challenge: () => 'Basic realm="x"' }),
    fails: { code: 'UNAUTHENTICATED', says: /wants credentials and there are none for it/ },
    after: ({ registry }) =>
      assert.ok(registry.hits.every(({ headers }) => headers.authorization === undefined)),
  },
  {
    name: 'credentials for this server, written as a URL',
    auth: ({ registry }) => ({ ...login, serverAddress: `https://${registry.address}/v2/` }),
    fault: tokens({
      challenge: () => 'Basic realm="x"',
      accepts: (header) => header === basicOf('user:secret'),
    }),
  },
  {
    name: 'a wrong password',
    auth: login,
    fault: tokens({ challenge: () => 'Basic realm="x"' }),
    fails: {
      code: 'UNAUTHENTICATED',
      says: /refused the credentials: .*UNAUTHORIZED: authentication required/,
    },
    after: ({ registry }) => assert.equal(registry.hits.length, 2, 'a refused password is not sent again'),
  },
  {
    name: '401 for every token',
    auth: login,
    fault: tokens({ accepts: () => false }),
    fails: { code: 'UNAUTHENTICATED', says: /refused the credentials/ },
    after: (scene) => assert.ok(scene.registry.hits.length <= 5, `${scene.registry.hits.length} requests`),
  },
  {
    name: '401 without a challenge',
    fault: tokens({ challenge: () => undefined }),
    fails: { code: 'UNAUTHENTICATED', says: /wants credentials/ },
    after: ({ registry }) => assert.equal(registry.hits.length, 1),
  },
  {
    name: '401 with a scheme that nobody knows',
    auth: login,
    fault: tokens({ challenge: () => 'Negotiate abcdef==' }),
    fails: { code: 'UNAUTHENTICATED', says: /wants credentials/ },
  },
  {
    name: '401 with a challenge that is nonsense',
    auth: login,
    fault: tokens({ challenge: () => '=,,"" Bearer realm' }),
    fails: { code: 'UNAUTHENTICATED', says: /wants credentials/ },
  },
  {
    name: 'several challenges in one header',
    auth: login,
    fault: tokens({ challenge: (scene) => `Negotiate, ${bearer(scene)}, Basic realm="a \\"b\\", c"` }),
  },
  {
    name: 'a challenge without a realm',
    fault: tokens({ challenge: () => 'Bearer service="x"' }),
    fails: { code: 'FAILED_PRECONDITION', says: /names no valid token server \(realm ""\)/ },
  },
  {
    name: 'a realm that is no web address',
    fault: tokens({ challenge: () => 'Bearer realm="file:///etc/passwd"' }),
    fails: { code: 'FAILED_PRECONDITION', says: /names no valid token server/ },
  },
  {
    name: 'the token server sends a page of HTML',
    fault: tokens({ token: ({ response }) => void response.end('<html>') }),
    fails: { code: 'FAILED_PRECONDITION', says: /token server .* answered something that holds no token/ },
  },
  {
    name: 'the token server sends an empty token',
    fault: tokens({ token: giving({ token: '' }) }),
    fails: { code: 'FAILED_PRECONDITION', says: /holds no token/ },
  },
  {
    name: 'the token would break out of its header',
    fault: tokens({ token: giving({ token: 'a\r\nx-evil: 1' }) }),
    fails: { code: 'FAILED_PRECONDITION', says: /holds no token/ },
  },
  {
    name: 'the token server refuses the password',
    auth: login,
    fault: tokens({ token: giving({ details: 'incorrect username or password' }, 401) }),
    fails: {
      code: 'UNAUTHENTICATED',
      says: /the token server .* refused the credentials: .*incorrect username/,
    },
    after: (scene) => assert.equal(tokenHits(scene).length, 1),
  },
  {
    name: 'the token server fails once',
    fault: tokens({
      token: ({ response, nth }) =>
        nth === 1 ? void response.writeHead(500).end() : sendJson(response, 200, { token: 'a-token' }),
    }),
  },
  {
    name: 'the token server fails every time',
    fault: tokens({ token: ({ response }) => void response.writeHead(503).end() }),
    fails: { code: 'UNKNOWN', says: /the token server 127\.0\.0\.1:\d+ answered 503/ },
  },
  {
    name: 'the token server is not there',
    fault: tokens({ challenge: () => 'Bearer realm="http://127.0.0.1:1/token"' }),
    fails: { code: 'UNKNOWN', says: /127\.0\.0\.1:1 refuses connections/ },
  },
  {
    name: 'the token server sends without end',
    fault: tokens({ token: ({ response }) => void response.end(Buffer.alloc(3_000_000, 'x')) }),
    limits: { attempts: 2 },
    fails: { code: 'UNKNOWN', says: /the token server .* sent more than 1048576 bytes/ },
  },
  {
    name: 'the token server says nothing',
    fault: tokens({ token: ({ response }) => response.flushHeaders() }),
    limits: { attempts: 1, headersMs: 300 },
    fails: { code: 'UNKNOWN', says: /the token server .* took longer than 300 ms/ },
  },
  {
    name: 'the caller cancels while the token server says nothing',
    fault: tokens({ token: () => {} }),
    limits: { headersMs: 10_000 },
    does: ({ client, reference }) => client.resolve(reference, { signal: AbortSignal.timeout(100) }),
    fails: { code: 'DEADLINE_EXCEEDED', says: /the deadline is over/ },
  },
  {
    name: 'a token is forgotten by the registry in the middle of a pull',
    fault: tokens({
      token: ({ response, nth }) => sendJson(response, 200, { token: `token-${nth}`, expires_in: 300 }),
      accepts: (header, { registry }) =>
        header ===
        (registry.hits.some(({ path }) => path.includes('/blobs/')) ? 'Bearer token-2' : 'Bearer token-1'),
    }),
    after: (scene) => assert.equal(tokenHits(scene).length, 2),
  },
  {
    name: 'a token that expires at once is good for the least time that the specification names',
    fault: tokens({ token: giving({ token: 'a-token', expires_in: 0 }) }),
    after: (scene) => assert.equal(tokenHits(scene).length, 1),
  },
  {
    name: 'eight requests at once share one token',
    fault: tokens({
      token: ({ response }) => void setTimeout(() => sendJson(response, 200, { token: 'a-token' }), 50),
    }),
    does: async (scene) => {
      await Promise.all(Array.from({ length: 8 }, () => readLayer(scene)));
    },
    after: (scene) => assert.equal(tokenHits(scene).length, 1),
  },
  {
    name: 'other credentials do not get the token of the first',
    auth: login,
    fault: tokens({
      token: ({ request, response }) =>
        sendJson(response, 200, {
          token: request.headers.authorization === undefined ? 'nobody' : 'a-token',
        }),
    }),
    does: async (scene) => {
      await pull(scene);
      await resolveIt({ ...scene, auth: undefined });
    },
    fails: { code: 'UNAUTHENTICATED', says: /wants credentials/ },
  },
  {
    name: 'a registry with https names a token server with http, which gets no credentials',
    tls,
    auth: login,
    hostsToml: ({ registry }) => `server = "${registry.url}"\nca = "${authority.path}"\n`,
    fault: tokens({ challenge: ({ other }) => `Bearer realm="${other.url}/token"` }),
    fails: {
      code: 'FAILED_PRECONDITION',
      says: /credentials to 127\.0\.0\.1:\d+ over http, which is not safe/,
    },
    after: ({ other }) => assert.equal(other.hits.length, 0),
  },
];
