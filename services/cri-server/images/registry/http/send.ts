/**
 * Sends one request to one host and follows redirects. Credentials and a host's own headers go to that
 * origin alone: registries redirect to object stores, and those must not learn them.
 */
import type { IncomingHttpHeaders } from 'node:http';
import { Readable } from 'node:stream';
import type { Dispatcher } from 'undici';
import { SkiffError, wrapError } from '#foundation/base/errors.ts';
import { aborted, headerOf, unfit, type WireFailure, wireFailure } from '../errors.ts';
import type { RegistryHost } from '../hosts/host.ts';
import { maxRedirects } from '../limits.ts';
import type { Limits } from '../types.ts';
import type { Dispatchers } from './dispatchers.ts';

/** A body and its length; opened anew for every try. */
export interface RequestBody {
  open: () => AsyncIterable<Uint8Array> | Uint8Array;
  length: number;
}

/** One request. */
export interface WireRequest {
  /** What the caller is doing, for messages: `pull docker.io/library/nginx:latest`. */
  what: string;
  host: RegistryHost;
  method: 'GET' | 'HEAD' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  url: URL;
  headers: Record<string, string>;
  /** The Authorization header. */
  authorization?: string;
  body?: RequestBody;
  signal?: AbortSignal;
  /** Whether a redirect from https to http is followed; only where the content is verified by digest. */
  allowDowngrade?: boolean;
}

/** An answer; its body must be read or destroyed. */
export interface WireResponse {
  status: number;
  headers: IncomingHttpHeaders;
  body: Dispatcher.ResponseData['body'];
  /** Where it came from in the end. */
  url: URL;
  /** Whether that is another origin than the one asked: its answers say nothing of the registry's credentials. */
  foreign: boolean;
}

/** Sends requests. */
export interface Sender {
  /**
   * @returns the answer, whatever its status, or why there is none.
   * @throws SkiffError FAILED_PRECONDITION for redirects that cannot be followed and unusable settings,
   *   CANCELLED or DEADLINE_EXCEEDED by the signal.
   */
  send(request: WireRequest): Promise<WireResponse | WireFailure>;
}

/** Makes a sender. */
export function createSender(deps: { dispatchers: Dispatchers; limits: Limits; userAgent: string }): Sender {
  return {
    async send(request) {
      let { url, method } = request;
      for (let hops = 0; ; hops += 1) {
        const foreign = url.origin !== request.url.origin;
        const answer = await sendOnce(deps, { ...request, method }, url, foreign);
        if ('error' in answer) return answer;
        const next = redirectOf(request, answer, url);
        if (next === undefined) return { ...answer, url, foreign };
        await discard(answer.body);
        if (hops >= maxRedirects)
          throw unfit(request.what, `${request.url.host} redirects more than ${maxRedirects} times`);
        // RFC 9110, 15.4.4: after a 303 the answer is fetched with GET.
        if (answer.status === 303 && method !== 'HEAD') method = 'GET';
        url = next;
      }
    },
  };
}

async function sendOnce(
  { dispatchers, limits, userAgent }: { dispatchers: Dispatchers; limits: Limits; userAgent: string },
  request: WireRequest,
  url: URL,
  foreign: boolean,
): Promise<Pick<WireResponse, 'status' | 'headers' | 'body'> | WireFailure> {
  const { what, host, method, signal } = request;
  const body = method === 'GET' || method === 'HEAD' ? undefined : request.body;
  try {
    const tls = foreign ? { ...host.tls, clients: [] } : host.tls;
    const dispatcher = await dispatchers.get({ url, tls, connectMs: host.connectMs ?? limits.connectMs });
    const answer = await dispatcher.request({
      origin: url.origin,
      path: url.pathname + url.search,
      method,
      headers: {
        'user-agent': userAgent,
        ...(foreign ? {} : host.headers),
        ...request.headers,
        ...(foreign || request.authorization === undefined ? {} : { authorization: request.authorization }),
        ...(body === undefined ? {} : { 'content-length': String(body.length) }),
      },
      body: bodyOf(body),
      // A registry answers an upload when it has stored it, and some storage takes its time.
      headersTimeout: body === undefined ? limits.headersMs : 10 * limits.headersMs,
      signal,
    });
    // A body that is let go of early emits an error too, to nobody; whoever reads it sees it besides.
    answer.body.on('error', () => {});
    return { status: answer.statusCode, headers: answer.headers, body: answer.body };
  } catch (error) {
    if (signal?.aborted) throw aborted(what, signal);
    if (error instanceof SkiffError) throw wrapError(error, `Cannot ${what}`);
    return wireFailure(what, url.host, error);
  }
}

function bodyOf(body: RequestBody | undefined): Readable | Uint8Array | undefined {
  const opened = body?.open();
  return opened === undefined || opened instanceof Uint8Array
    ? opened
    : Readable.from(opened, { objectMode: false });
}

function redirectOf(
  request: WireRequest,
  answer: Pick<WireResponse, 'status' | 'headers'>,
  from: URL,
): URL | undefined {
  if (![301, 302, 303, 307, 308].includes(answer.status)) return undefined;
  const location = headerOf(answer.headers, 'location');
  if (location === undefined || !URL.canParse(location, from))
    throw unfit(request.what, `${from.host} redirects without a valid location`);
  const next = new URL(location, from);
  if (next.protocol !== 'https:' && next.protocol !== 'http:')
    throw unfit(request.what, `${from.host} redirects to a ${next.protocol} address`);
  if (from.protocol === 'https:' && next.protocol === 'http:' && request.allowDowngrade !== true)
    throw unfit(
      request.what,
      `${from.host} redirects from https to http (${next.host}), which is not safe here`,
    );
  if (request.body !== undefined && answer.status < 307 && answer.status !== 303)
    throw unfit(request.what, `${from.host} redirects an upload with status ${answer.status}`);
  return next;
}

/** Lets go of a body that nobody wants; a short one is read so that the connection can be used again. */
export async function discard(body: WireResponse['body']): Promise<void> {
  const timer = setTimeout(() => body.destroy(), 2000);
  try {
    await body.dump({ limit: 64 * 1024 });
  } catch {
    // It broke: nothing of it was wanted.
  } finally {
    clearTimeout(timer);
  }
}
