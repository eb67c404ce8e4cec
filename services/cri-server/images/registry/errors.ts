/** The client's errors in one place: what went wrong on the wire or in an answer, as one SkiffError. */
import type { IncomingHttpHeaders } from 'node:http';
import { errnoOf, isSkiffError, messageOf, SkiffError } from '#foundation/base/errors.ts';

/** The prefix by which the kubelet tells that a registry is unreachable (its ErrRegistryUnavailable). */
export const registryUnavailable = 'RegistryUnavailable';

/** The registry cannot be reached, or only answers that it is broken. */
export function unavailable(what: string, why: string, cause?: unknown): SkiffError {
  return new SkiffError('UNKNOWN', `${registryUnavailable}: cannot ${what}: ${why}`, { cause });
}

/** What arrived is not what was asked for. */
export function corrupt(what: string, why: string): SkiffError {
  return new SkiffError('DATA_LOSS', `Cannot ${what}: ${why}`);
}

/** The server breaks the protocol, or the configuration does not fit it. */
export function unfit(what: string, why: string, cause?: unknown): SkiffError {
  return new SkiffError('FAILED_PRECONDITION', `Cannot ${what}: ${why}`, { cause });
}

/** The error of an aborted call: the signal's own reason decides between a cancellation and a deadline. */
export function aborted(what: string, signal: AbortSignal): SkiffError {
  const reason: unknown = signal.reason;
  const late =
    isSkiffError(reason, 'DEADLINE_EXCEEDED') || (reason instanceof Error && reason.name === 'TimeoutError');
  return late
    ? new SkiffError('DEADLINE_EXCEEDED', `Cannot ${what}: the deadline is over`, { cause: reason })
    : new SkiffError('CANCELLED', `Cannot ${what}: it was cancelled`, { cause: reason });
}

/** Throws if the signal has aborted. */
export function throwIfAborted(what: string, signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw aborted(what, signal);
}

/** An error answer of a server, its body read. */
export interface FailedAnswer {
  status: number;
  headers: IncomingHttpHeaders;
  text: string;
  /** Who answered: `host:port`. */
  from: string;
  /** Whether credentials were sent. */
  authorized: boolean;
}

/** The error for an answer that is not a success. */
export function statusError(what: string, answer: FailedAnswer): SkiffError {
  const { status, from } = answer;
  const said = describeBody(answer.text);
  const because = `${from} answered ${status}${said === '' ? '' : ` (${said})`}`;
  if (status === 401)
    return new SkiffError(
      'UNAUTHENTICATED',
      answer.authorized
        ? `Cannot ${what}: ${from} refused the credentials: ${because}`
        : `Cannot ${what}: ${from} wants credentials and there are none for it, or it has no such repository: ${because}`,
    );
  if (status === 403) return new SkiffError('PERMISSION_DENIED', `Cannot ${what}: access denied: ${because}`);
  if (status === 404) return new SkiffError('NOT_FOUND', `Cannot ${what}: not found: ${because}`);
  if (status === 429)
    return new SkiffError('RESOURCE_EXHAUSTED', `Cannot ${what}: ${rateLimit(answer, because)}`);
  if (status >= 500) return unavailable(what, because);
  return unfit(what, because);
}

function rateLimit({ headers, from, authorized }: FailedAnswer, because: string): string {
  const limit = headerOf(headers, 'ratelimit-limit');
  const after = headerOf(headers, 'retry-after');
  const parts = [
    `the rate limit of ${from} is reached`,
    limit === undefined ? '' : ` (limit ${limit.slice(0, 60)})`,
    after === undefined ? '; try again later' : `; try again after ${describeRetryAfter(after)}`,
    authorized ? '' : ', or log in for a higher limit',
    `: ${because}`,
  ];
  return parts.join('');
}

function describeRetryAfter(value: string): string {
  return /^\d+$/.test(value) ? `${value} s` : value.slice(0, 60);
}

/** One value of a header. */
export function headerOf(headers: IncomingHttpHeaders, name: string): string | undefined {
  const value = headers[name];
  return Array.isArray(value) ? value[0] : value;
}

/** The words of an error body: the spec's `errors` list, or the start of whatever it is. */
function describeBody(text: string): string {
  const errors = parseErrors(text);
  const words = errors ?? (/^\s*</.test(text) ? '' : text);
  // Control characters of a hostile server must not reach a terminal.
  return words
    .replace(/\p{Cc}+/gu, ' ')
    .trim()
    .slice(0, 300);
}

function parseErrors(text: string): string | undefined {
  let body: unknown;
  try {
    body = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (typeof body !== 'object' || body === null) return undefined;
  const list = 'errors' in body && Array.isArray(body.errors) ? (body.errors as unknown[]) : [body];
  const words = list
    .slice(0, 3)
    .map(describeError)
    .filter((said) => said !== '');
  return words.length === 0 ? undefined : words.join('; ');
}

function describeError(error: unknown): string {
  if (typeof error !== 'object' || error === null) return '';
  const field = (name: string) => {
    const value = (error as Record<string, unknown>)[name];
    return typeof value === 'string' ? value : '';
  };
  const message = field('message') || field('error_description') || field('details') || field('detail');
  return [field('code') || field('error'), message].filter((part) => part !== '').join(': ');
}

/** Why a request got no answer. */
export interface WireFailure {
  error: SkiffError;
  /** Whether another attempt may help. */
  retryable: boolean;
  /** Whether the server does not speak TLS, or nobody listens: a reason to try http where that is allowed. */
  notTls: boolean;
}

const trustCodes = new Set([
  'SELF_SIGNED_CERT_IN_CHAIN',
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
  'UNABLE_TO_GET_ISSUER_CERT',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
]);
const certificateCodes = new Set(['CERT_HAS_EXPIRED', 'CERT_NOT_YET_VALID', 'ERR_TLS_CERT_ALTNAME_INVALID']);

/** Says why a request to `from` (`host:port`) failed on the wire. */
export function wireFailure(what: string, from: string, error: unknown): WireFailure {
  const code = errnoOf(error) ?? '';
  const fixed = (why: string) => ({ error: unfit(what, why, error), retryable: false, notTls: false });
  if (trustCodes.has(code))
    return fixed(
      `the certificate of ${from} is signed by an unknown authority (${code}); name its CA file as "ca" in the registry's hosts.toml`,
    );
  if (certificateCodes.has(code))
    return fixed(`the certificate of ${from} is not valid: ${messageOf(error)}`);
  const why = `${from} ${describeWire(code, error)}`;
  if (/^(ERR_SSL|EPROTO)/.test(code)) return { ...fixed(why), notTls: !code.includes('ALERT') };
  if (isProtocolError(code, error)) return fixed(why);
  return {
    error: unavailable(what, why, error),
    retryable: true,
    notTls: code !== 'UND_ERR_CONNECT_TIMEOUT',
  };
}

/** What undici's parser throws for answers that are no HTTP, or whose headers do not end. */
function isProtocolError(code: string, error: unknown): boolean {
  return code === 'UND_ERR_HEADERS_OVERFLOW' || (error instanceof Error && error.name === 'HTTPParserError');
}

const wireWords: Record<string, string> = {
  ECONNREFUSED: 'refuses connections',
  ENOTFOUND: 'is not a known host name',
  EAI_AGAIN: 'could not be looked up: DNS does not answer',
  UND_ERR_CONNECT_TIMEOUT: 'did not accept the connection in time',
  UND_ERR_HEADERS_TIMEOUT: 'did not answer in time',
  UND_ERR_SOCKET: 'closed the connection',
  ECONNRESET: 'reset the connection',
  EPIPE: 'closed the connection',
  EHOSTUNREACH: 'cannot be reached: no route to the host',
  ENETUNREACH: 'cannot be reached: no route to its network',
};

function describeWire(code: string, error: unknown): string {
  if (isProtocolError(code, error)) return `does not answer in proper HTTP: ${messageOf(error)}`;
  if (/ALERT.*CERTIFICATE/.test(code))
    return `refused the client certificate, or wants one (${code}); name one as "client" in the registry's hosts.toml`;
  if (code.startsWith('ERR_SSL_') || code === 'EPROTO') return `failed the TLS handshake: ${code}`;
  const words = wireWords[code] ?? 'failed';
  const detail = messageOf(error);
  return detail === '' ? `${words} (${code})` : `${words}: ${detail}`;
}
