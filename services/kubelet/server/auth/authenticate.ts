/** Who is asking: a client certificate, a bearer token that the API server knows, or nobody. */
import type { IncomingMessage } from 'node:http';
import { type PeerCertificate, TLSSocket } from 'node:tls';
import { SkiffError } from '#foundation/base/errors.ts';
import type { Clock } from '#foundation/base/time.ts';
import type { KubeletConfiguration } from '../../configuration/defaults.ts';
import { durationMs } from '../../configuration/duration.ts';
import type { KubeletApi } from '../../ports.ts';
import { createCache } from './cache.ts';

/** Who asks, as the authorizer wants it. */
export interface User {
  name: string;
  uid?: string;
  groups: string[];
  extra?: Record<string, string[]>;
}

/** Finds out who sent a request. @throws SkiffError UNAUTHENTICATED. */
export type Authenticator = (request: IncomingMessage) => Promise<User>;

interface TokenReview {
  status?: {
    authenticated?: boolean;
    error?: string;
    user?: { username?: string; uid?: string; groups?: string[]; extra?: Record<string, string[]> };
  };
}

/** Makes the authenticator of a configuration. */
export function createAuthenticator(deps: {
  configuration: KubeletConfiguration['authentication'];
  api: Pick<KubeletApi, 'request'> | undefined;
  clock: Clock;
}): Authenticator {
  const { x509, webhook, anonymous } = deps.configuration;
  const cache = createCache<User | undefined>(deps.clock, () => durationMs(webhook.cacheTTL));
  return async (request) => {
    const certified = x509.clientCAFile === '' ? undefined : certificateUser(request);
    if (certified !== undefined) return certified;
    const token = bearerToken(request);
    const { api } = deps;
    if (token !== undefined && webhook.enabled && api !== undefined) {
      const user = await cache.get(token, () => reviewToken(api, token));
      if (user !== undefined) return user;
    }
    // A credential that is wrong is not the same as none.
    if (token === undefined && anonymous.enabled)
      return { name: 'system:anonymous', groups: ['system:unauthenticated'] };
    throw new SkiffError('UNAUTHENTICATED', 'Unauthorized');
  };
}

/** The subject of a verified certificate: its common name is the user, its organizations are the groups. */
function certificateUser(request: IncomingMessage): User | undefined {
  const { socket } = request;
  if (!(socket instanceof TLSSocket) || !socket.authorized) return undefined;
  const { subject } = socket.getPeerCertificate();
  if (subject?.CN === undefined) return undefined;
  return { name: one(subject.CN), groups: [...many(subject.O), 'system:authenticated'] };
}

type Attribute = PeerCertificate['subject']['CN'] | string[] | undefined;

function many(value: Attribute): string[] {
  return value === undefined ? [] : Array.isArray(value) ? value : [value];
}

function one(value: Attribute): string {
  return many(value)[0] ?? '';
}

function bearerToken(request: IncomingMessage): string | undefined {
  return /^Bearer\s+(\S+)$/i.exec(request.headers.authorization ?? '')?.[1];
}

async function reviewToken(api: Pick<KubeletApi, 'request'>, token: string): Promise<User | undefined> {
  const review = await api.request<TokenReview>({
    method: 'POST',
    path: '/apis/authentication.k8s.io/v1/tokenreviews',
    body: { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenReview', spec: { token } },
    timeoutMs: 10_000,
  });
  const { authenticated, user } = review.status ?? {};
  if (authenticated !== true || user === undefined) return undefined;
  return { name: user.username ?? '', uid: user.uid, groups: user.groups ?? [], extra: user.extra };
}
