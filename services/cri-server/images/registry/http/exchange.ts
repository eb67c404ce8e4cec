/**
 * One question to one host, answered: tries https and http where both are allowed, and logs in when the host
 * challenges. What comes back is the host's own answer, or a failure on the wire.
 */
import type { Authorizer, AuthTarget } from '../auth/authorizer.ts';
import { parseChallenges } from '../auth/challenge.ts';
import type { Credentials } from '../auth/credentials.ts';
import type { SendTokenRequest } from '../auth/token.ts';
import { statusError, throwIfAborted, unavailable, type WireFailure } from '../errors.ts';
import type { RegistryHost } from '../hosts/host.ts';
import { maxAnswerBytes } from '../limits.ts';
import { readBody, readErrorText } from './body.ts';
import { isRetryableStatus, type RetryPolicy, retryAfterMs, withRetries } from './retry.ts';
import { discard, type RequestBody, type Sender, type WireRequest, type WireResponse } from './send.ts';

/** What to ask. */
export interface Question {
  /** What the caller is doing, for messages. */
  what: string;
  host: RegistryHost;
  method: WireRequest['method'];
  /** Below the API's base, with a query: `library/nginx/manifests/latest`; or a whole URL on the host. */
  target: string | URL;
  headers?: Record<string, string>;
  body?: RequestBody;
  scopes: readonly string[];
  credentials: Credentials;
  signal?: AbortSignal;
  allowDowngrade?: boolean;
}

/** The answer, with whether credentials went with the question. */
export interface Answer extends WireResponse {
  authorized: boolean;
}

/** Asks questions. */
export interface Exchange {
  /** @throws SkiffError as `Sender.send` and the token server have it. */
  ask(question: Question): Promise<Answer | WireFailure>;
}

/** How often a challenge is answered for one question: a forgotten token, and a fresh one. */
const maxLogins = 2;

/** Makes an exchange. */
export function createExchange(deps: {
  sender: Sender;
  authorizer: Authorizer;
  retry: Pick<RetryPolicy, 'clock' | 'limits'> & { attempts: number; answerMs: number };
}): Exchange {
  /** Which scheme the loopback hosts turned out to speak. */
  const spoken = new Map<string, 'https' | 'http'>();
  return {
    async ask(question) {
      const { host } = question;
      if (!host.httpFallback) return askWith(deps, question, host.scheme);
      const [likely, other] = spoken.get(host.address) === 'http' ? plainFirst : tlsFirst;
      const first = await askWith(deps, question, likely);
      if (!isOtherSpoken(first, likely)) {
        if (!('error' in first)) spoken.set(host.address, likely);
        return first;
      }
      const second = await askWith(deps, question, other);
      if ('error' in second) return betterOf(first, second);
      if (!('error' in first)) await discard(first.body);
      spoken.set(host.address, other);
      return second;
    },
  };
}

const tlsFirst = ['https', 'http'] as const;
const plainFirst = ['http', 'https'] as const;

/** An answer is better than none; of two failures the one that may pass says more. */
function betterOf(first: Answer | WireFailure, second: WireFailure): Answer | WireFailure {
  return !('error' in first) || first.retryable ? first : second;
}

/** Whether the other scheme may be spoken there; servers of https answer http with 400. */
function isOtherSpoken(answer: Answer | WireFailure, scheme: 'https' | 'http'): boolean {
  if ('error' in answer) return answer.notTls;
  return scheme === 'http' && answer.status === 400;
}

type Deps = Parameters<typeof createExchange>[0];

async function askWith(
  deps: Deps,
  question: Question,
  scheme: 'https' | 'http',
): Promise<Answer | WireFailure> {
  const { host, credentials, what, scopes } = question;
  const url = urlOf(question, scheme);
  const target: AuthTarget = { what, origin: `${scheme}://${host.address}`, scopes, credentials };
  // An upload's location may be on another host, which must not learn the credentials.
  const own = url.origin === new URL(target.origin).origin;
  let authorization = own ? deps.authorizer.known(target) : undefined;
  for (let logins = 0; ; logins += 1) {
    const answer = await deps.sender.send({
      ...question,
      url,
      headers: question.headers ?? {},
      authorization,
    });
    if ('error' in answer) return answer;
    const authorized = authorization !== undefined && credentials.kind !== 'anonymous';
    const challenged = answer.status === 401 && own && !answer.foreign;
    if (!challenged || logins === maxLogins) return { ...answer, authorized: authorized && !answer.foreign };
    const challenges = parseChallenges(answer.headers['www-authenticate']);
    const next = await deps.authorizer
      .answer(target, challenges, authorization, tokenSender(deps, question), question.signal)
      .catch((error: unknown) => {
        answer.body.destroy();
        throwIfAborted(what, question.signal);
        throw error;
      });
    if (next === undefined) return { ...answer, authorized: authorized && !answer.foreign };
    await discard(answer.body);
    authorization = next;
  }
}

/**
 * Where the question goes. Registries behind a proxy that ends TLS often name upload locations with http; on
 * their own host the scheme that was spoken so far is kept.
 */
function urlOf({ host, target }: Question, scheme: 'https' | 'http'): URL {
  if (target instanceof URL) {
    const url = new URL(target);
    if (url.host === host.address) url.protocol = scheme;
    return url;
  }
  return new URL(`${scheme}://${host.address}${host.basePath}/${target}`);
}

/** Sends requests to token servers; with the host's TLS settings, as they belong together. */
function tokenSender(deps: Deps, question: Question): SendTokenRequest {
  const { what, host } = question;
  const { retry } = deps;
  return (request, tolerated, signal) =>
    withRetries<{ status: number; text: string }>({ what, ...retry, signal }, async () => {
      const from = `the token server ${request.url.host}`;
      const answer = await deps.sender.send({ ...request, what, host: withoutHeaders(host), signal });
      if ('error' in answer) {
        if (!answer.retryable) throw answer.error;
        return { retry: answer.error };
      }
      const { status, headers } = answer;
      if (status >= 300 && !tolerated.includes(status)) {
        const text = await readErrorText(answer.body);
        const authorized = request.authorization !== undefined || request.body !== undefined;
        const error = statusError(what, { status, headers, text, from, authorized });
        if (!isRetryableStatus(status)) throw error;
        return { retry: error, afterMs: retryAfterMs(headers, retry.clock) };
      }
      const body = await readBody(answer.body, maxAnswerBytes, retry.answerMs);
      if (body.kind === 'whole') return { done: { status, text: body.bytes.toString() } };
      const why = body.kind === 'broken' ? body.why : `sent more than ${maxAnswerBytes} bytes`;
      return { retry: unavailable(what, `${from} ${why}`) };
    });
}

/** A host's own headers are for the registry alone. */
function withoutHeaders(host: RegistryHost): RegistryHost {
  return { ...host, headers: {} };
}
