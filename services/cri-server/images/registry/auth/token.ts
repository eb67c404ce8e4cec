/**
 * Bearer tokens, by the distribution project's token specification: GET with a scope for everybody and for
 * user names, POST (OAuth2) for identity tokens.
 */
import { z } from 'zod';
import { unfit } from '../errors.ts';
import type { RequestBody } from '../http/send.ts';
import type { Challenge } from './challenge.ts';
import { basicHeader, type Credentials } from './credentials.ts';

/** A request to a token server, and its answer. */
export interface TokenRequest {
  method: 'GET' | 'POST';
  url: URL;
  authorization?: string;
  headers: Record<string, string>;
  body?: RequestBody;
}

/** What fetching a token needs: sends with retries; statuses of 400 and above but `tolerated` are thrown. */
export type SendTokenRequest = (
  request: TokenRequest,
  tolerated: readonly number[],
  signal?: AbortSignal,
) => Promise<{ status: number; text: string }>;

/** A token and how long it is good for. */
export interface Token {
  token: string;
  /** Seconds from now. */
  expiresIn: number;
}

const answer = z.looseObject({
  token: z.string().optional(),
  access_token: z.string().optional(),
  expires_in: z.number().optional(),
});

/** Seconds that a token is good for if the server does not say; the specification's figure. */
const defaultExpiry = 60;

/** The name under which Skiff asks for OAuth2 tokens. */
const clientId = 'skiff';

/**
 * Gets a token.
 *
 * @param challenge a Bearer challenge.
 * @param scopes what it is to be good for: `repository:library/nginx:pull`.
 * @param secure whether the registry was asked over https; credentials then never go over http.
 * @throws SkiffError UNAUTHENTICATED or PERMISSION_DENIED as the token server says; FAILED_PRECONDITION if
 *   it answers nonsense.
 */
export async function fetchToken(
  send: SendTokenRequest,
  what: string,
  request: { challenge: Challenge; scopes: readonly string[]; credentials: Credentials; secure: boolean },
): Promise<Token> {
  const { challenge, scopes, credentials } = request;
  const realm = realmOf(what, challenge);
  if (request.secure && realm.protocol === 'http:' && credentials.kind !== 'anonymous')
    throw unfit(
      what,
      `the registry asks to send the credentials to ${realm.host} over http, which is not safe`,
    );
  const service = challenge.parameters.service ?? '';
  if (credentials.kind === 'identity') {
    const form = oauthForm(credentials.token, service, scopes);
    // Token servers without OAuth2 answer one of these; they may take the token as a password.
    const got = await send(form(realm), credentials.username === '' ? [] : [401, 404, 405]);
    if (got.status < 300) return readToken(what, realm, got.text);
  }
  const got = await send(queryRequest(realm, service, scopes, credentials), []);
  return readToken(what, realm, got.text);
}

function realmOf(what: string, challenge: Challenge): URL {
  const realm = challenge.parameters.realm ?? '';
  const url = URL.canParse(realm) ? new URL(realm) : undefined;
  if (url === undefined || !/^https?:$/.test(url.protocol))
    throw unfit(what, `the registry names no valid token server (realm "${realm.slice(0, 200)}")`);
  return url;
}

function queryRequest(
  realm: URL,
  service: string,
  scopes: readonly string[],
  credentials: Credentials,
): TokenRequest {
  const url = new URL(realm);
  if (service !== '') url.searchParams.set('service', service);
  for (const scope of scopes) url.searchParams.append('scope', scope);
  const login =
    credentials.kind === 'password'
      ? { username: credentials.username, password: credentials.password }
      : credentials.kind === 'identity'
        ? { username: credentials.username, password: credentials.token }
        : undefined;
  if (login !== undefined) url.searchParams.set('account', login.username);
  const authorization = login && basicHeader(login.username, login.password);
  return { method: 'GET', url, authorization, headers: { accept: 'application/json' } };
}

function oauthForm(refreshToken: string, service: string, scopes: readonly string[]) {
  const form = new URLSearchParams({
    grant_type: 'refresh_token',
    service,
    client_id: clientId,
    refresh_token: refreshToken,
  });
  if (scopes.length > 0) form.set('scope', scopes.join(' '));
  const bytes = Buffer.from(form.toString());
  return (url: URL): TokenRequest => ({
    method: 'POST',
    url,
    headers: { accept: 'application/json', 'content-type': 'application/x-www-form-urlencoded' },
    body: { open: () => bytes, length: bytes.length },
  });
}

function readToken(what: string, realm: URL, text: string): Token {
  const parsed = answer.safeParse(parseJson(text));
  const token = parsed.data?.token || parsed.data?.access_token || '';
  // RFC 6750, section 2.1; anything else would break out of the header.
  if (!/^[\x21-\x7e]+$/.test(token))
    throw unfit(what, `the token server ${realm.host} answered something that holds no token`);
  return { token, expiresIn: Math.max(defaultExpiry, parsed.data?.expires_in ?? defaultExpiry) };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
