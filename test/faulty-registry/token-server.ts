/** A token server for Debian's docker-registry: signs JWTs for one user, and for everybody to pull. */
import { createPrivateKey, randomUUID, sign, X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Certificate } from './certificates.ts';

/** A running token server. */
export interface TokenServer extends AsyncDisposable {
  realm: string;
  /** How many tokens it gave, by who asked. */
  given: { anonymous: number; user: number };
}

/** The one who may push. */
export const tokenUser = { username: 'user', password: 'secret' };

/** The name that the registry and the server know each other by. */
export const tokenIssuer = 'skiff-test-issuer';
export const tokenService = 'skiff-test-registry';

/** Starts a server that signs with `certificate`'s key. */
export async function startTokenServer(certificate: Certificate): Promise<TokenServer> {
  const given = { anonymous: 0, user: 0 };
  const server = createServer((request, response) => {
    const who = callerOf(request);
    if (who === undefined)
      return void response.writeHead(401).end('{"details":"incorrect username or password"}');
    given[who] += 1;
    const scopes = new URL(request.url ?? '', 'http://x').searchParams.getAll('scope');
    const token = makeToken(certificate, scopes, who === 'user' ? ['pull', 'push'] : ['pull']);
    response.end(JSON.stringify({ token, expires_in: 120 }));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  return {
    realm: `http://127.0.0.1:${port}/token`,
    given,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}

function callerOf({ headers }: IncomingMessage): 'anonymous' | 'user' | undefined {
  if (headers.authorization === undefined) return 'anonymous';
  const login = Buffer.from(headers.authorization.replace('Basic ', ''), 'base64').toString();
  return login === `${tokenUser.username}:${tokenUser.password}` ? 'user' : undefined;
}

function makeToken(certificate: Certificate, scopes: string[], allowed: string[]): string {
  const now = Math.floor(Date.now() / 1000);
  const chain = [new X509Certificate(certificate.cert).raw.toString('base64')];
  const header = { typ: 'JWT', alg: 'ES256', x5c: chain };
  const access = scopes.map((scope) => {
    const [type, name, actions = ''] = scope.split(':');
    return { type, name, actions: actions.split(',').filter((action) => allowed.includes(action)) };
  });
  const claims = {
    iss: tokenIssuer,
    sub: '',
    aud: tokenService,
    exp: now + 120,
    nbf: now - 10,
    iat: now,
    jti: randomUUID(),
    access,
  };
  const text = [header, claims]
    .map((part) => Buffer.from(JSON.stringify(part)).toString('base64url'))
    .join('.');
  const key = { key: createPrivateKey(certificate.key), dsaEncoding: 'ieee-p1363' } as const;
  return `${text}.${sign('sha256', Buffer.from(text), key).toString('base64url')}`;
}
