/**
 * Tokens of service accounts: JSON Web Tokens signed by the API's own key, bound to what they were made for.
 * https://kubernetes.io/docs/reference/access-authn-authz/service-accounts-admin/#bound-service-account-tokens
 */
import {
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  randomUUID,
  sign,
  verify,
} from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { replaceFileSync } from '#foundation/base/files.ts';
import type { User } from '../http/request.ts';
import type { Store } from '../storage/store.ts';

/** Who issues tokens. */
export const issuer = 'https://kubernetes.default.svc.cluster.local';

interface Named {
  name: string;
  uid?: string;
}

/** What a token says. */
interface Claims {
  iss: string;
  sub: string;
  aud: string[];
  exp: number;
  iat: number;
  nbf: number;
  jti: string;
  'kubernetes.io': { namespace: string; serviceaccount: Named; pod?: Named; secret?: Named; node?: Named };
}

/** What a token is made for. */
export interface TokenSubject {
  namespace: string;
  serviceAccount: Named;
  pod?: Named;
  secret?: Named;
  node?: Named;
}

/** Makes and checks tokens. */
export interface Tokens {
  /** @returns the token. @param seconds how long it lives. */
  issue(subject: TokenSubject, audiences: readonly string[], seconds: number): string;
  /** Who a token is; undefined if it is not valid now, or not for one of the audiences. */
  authenticate(token: string, audiences?: readonly string[]): { user: User; audiences: string[] } | undefined;
}

/** Opens the signing key at `keyPath`; makes it at the first time. @param now milliseconds since the epoch. */
export function openTokens(keyPath: string, store: Pick<Store, 'get'>, now: () => number): Tokens {
  const key = openKey(keyPath);
  const publicKey = createPublicKey(key);
  return {
    issue: (subject, audiences, seconds) => {
      const iat = Math.floor(now() / 1000);
      const { namespace, serviceAccount, pod, secret, node } = subject;
      const bound = { namespace, serviceaccount: serviceAccount, pod, secret, node };
      const claims: Claims = {
        iss: issuer,
        sub: `system:serviceaccount:${namespace}:${serviceAccount.name}`,
        aud: [...audiences],
        exp: iat + seconds,
        iat,
        nbf: iat,
        jti: randomUUID(),
        'kubernetes.io': bound,
      };
      return signClaims(claims, key);
    },
    authenticate: (token, audiences = [issuer]) => {
      const claims = readClaims(token, publicKey);
      const seconds = now() / 1000;
      if (claims === undefined || claims.iss !== issuer || claims.exp <= seconds || claims.nbf > seconds + 60)
        return undefined;
      const shared = claims.aud.filter((each) => audiences.includes(each));
      if (shared.length === 0 || !stillThere(claims, store)) return undefined;
      return { user: userOf(claims), audiences: shared };
    },
  };
}

function openKey(path: string): KeyObject {
  if (!existsSync(path)) {
    const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    replaceFileSync(path, privateKey.export({ type: 'pkcs8', format: 'pem' }));
  }
  return createPrivateKey(readFileSync(path));
}

function part(value: object): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url');
}

function signClaims(claims: Claims, key: KeyObject): string {
  const text = `${part({ alg: 'ES256', typ: 'JWT' })}.${part(claims)}`;
  return `${text}.${sign('sha256', Buffer.from(text), { key, dsaEncoding: 'ieee-p1363' }).toString('base64url')}`;
}

function readClaims(token: string, key: KeyObject): Claims | undefined {
  const [head = '', body = '', signature = '', extra] = token.split('.');
  if (extra !== undefined || signature === '') return undefined;
  try {
    const { alg } = JSON.parse(Buffer.from(head, 'base64url').toString()) as { alg?: string };
    const bytes = Buffer.from(signature, 'base64url');
    if (
      alg !== 'ES256' ||
      !verify('sha256', Buffer.from(`${head}.${body}`), { key, dsaEncoding: 'ieee-p1363' }, bytes)
    )
      return undefined;
    return JSON.parse(Buffer.from(body, 'base64url').toString()) as Claims;
  } catch {
    return undefined;
  }
}

/** Whether everything that the token is bound to is there, and is still the same. */
function stillThere(claims: Claims, store: Pick<Store, 'get'>): boolean {
  const { namespace, serviceaccount, pod, secret, node } = claims['kubernetes.io'];
  const same = (resource: string, named: Named | undefined, within?: string) =>
    named === undefined ||
    (named.uid !== undefined &&
      store.get(resource, { namespace: within, name: named.name })?.object.metadata.uid === named.uid);
  return (
    same('serviceaccounts', serviceaccount, namespace) &&
    same('pods', pod, namespace) &&
    same('secrets', secret, namespace) &&
    (node?.uid === undefined || same('nodes', node))
  );
}

function userOf(claims: Claims): User {
  const { namespace, serviceaccount, pod } = claims['kubernetes.io'];
  const extra: Record<string, string[]> = {
    'authentication.kubernetes.io/credential-id': [`JTI=${claims.jti}`],
  };
  if (pod !== undefined) {
    extra['authentication.kubernetes.io/pod-name'] = [pod.name];
    extra['authentication.kubernetes.io/pod-uid'] = [pod.uid ?? ''];
  }
  return {
    name: claims.sub,
    uid: serviceaccount.uid,
    groups: ['system:serviceaccounts', `system:serviceaccounts:${namespace}`, 'system:authenticated'],
    extra,
  };
}
