/** Credentials in the one form that the client works with, and how the CRI's form becomes it. */
import { createHash } from 'node:crypto';
import { SkiffError } from '#foundation/base/errors.ts';
import type { AuthRequest } from '../types.ts';

/** Who asks. */
export type Credentials =
  | { kind: 'anonymous' }
  | { kind: 'password'; username: string; password: string }
  /** An OAuth2 refresh token; the user name, if any, is for token servers without OAuth2. */
  | { kind: 'identity'; token: string; username: string }
  /** A bearer token that is sent as it is. */
  | { kind: 'bearer'; token: string };

/** Nobody in particular. */
export const anonymous: Credentials = { kind: 'anonymous' };

/** Docker's registry goes by several names; they are one for credentials. */
const dockerNames = new Set(['docker.io', 'index.docker.io', 'registry-1.docker.io', 'www.docker.io']);

/** The registry that a server address (`https://index.docker.io/v1/`, `quay.io`) stands for. */
export function canonicalAddress(address: string): string {
  const bare = address
    .trim()
    .replace(/^https?:\/\//i, '')
    .replace(/[/?#].*$/, '')
    .toLowerCase();
  const withoutPort = bare.replace(/:443$/, '');
  return dockerNames.has(withoutPort) ? 'docker.io' : withoutPort;
}

/**
 * The credentials of a request for one host, or undefined if it has none for it. With a server address they
 * are for that host alone; without one, for whatever the image's name and its mirrors are.
 *
 * @throws SkiffError INVALID_ARGUMENT if `auth` is not base64 of `username:password`.
 */
export function fromRequest(auth: AuthRequest | undefined, address: string): Credentials | undefined {
  if (auth === undefined) return undefined;
  if (auth.serverAddress && canonicalAddress(auth.serverAddress) !== canonicalAddress(address))
    return undefined;
  if (auth.username) return passwordOf(auth.username, auth.password ?? '');
  if (auth.identityToken) return { kind: 'identity', token: auth.identityToken, username: '' };
  if (auth.auth) return fromBase64(auth.auth, 'The auth field of the credentials');
  if (auth.registryToken) return { kind: 'bearer', token: auth.registryToken };
  return undefined;
}

/**
 * Decodes Docker's `auth` field.
 *
 * @param what what is decoded, for the message.
 * @throws SkiffError INVALID_ARGUMENT if it is not base64 of `username:password`.
 */
export function fromBase64(text: string, what: string): Credentials {
  const compact = text.replace(/\s/g, '');
  const decoded = /^[A-Za-z0-9+/_-]+={0,2}$/.test(compact) ? Buffer.from(compact, 'base64').toString() : '';
  const colon = decoded.indexOf(':');
  if (colon < 0) throw new SkiffError('INVALID_ARGUMENT', `${what} must be base64 of "username:password"`);
  return passwordOf(decoded.slice(0, colon), decoded.slice(colon + 1).replace(/^\0+|\0+$/g, ''));
}

/** A key that tells credentials apart without holding them. */
export function credentialsKey(credentials: Credentials): string {
  return createHash('sha256').update(JSON.stringify(credentials)).digest('base64url');
}

/** The Basic scheme's header value (RFC 7617). */
export function basicHeader(username: string, password: string): string {
  return `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`;
}

/** Docker writes an identity token as the password of the user `<token>`. */
export function passwordOf(username: string, password: string): Credentials {
  if (username === '<token>') return { kind: 'identity', token: password, username: '' };
  return { kind: 'password', username, password };
}
