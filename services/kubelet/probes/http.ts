/** httpGet probes and hooks: one request on a connection of its own, no proxy, certificates not checked. */
import http, { type IncomingMessage, type RequestOptions } from 'node:http';
import https from 'node:https';
import { isIPv6 } from 'node:net';
import { connectionError } from './dial-error.ts';
import { type HttpTarget, maxOutput, type Outcome } from './outcome.ts';

/** The kubelet's names for itself; servers filter their access logs by them. */
export const probeAgent = 'kube-probe/1.36';
export const lifecycleAgent = 'kube-lifecycle/1.36';

const maxRedirects = 10;
const tooLate = 'context deadline exceeded (Client.Timeout exceeded while awaiting headers)';

/** An answer: status, the beginning of the body, and where it sends the client. */
interface Answer {
  status: number;
  body: string;
  location: string | undefined;
}

/**
 * Probes by GET. 200 to 399 is success; a redirect to another host is success with a warning, as the kubelet does
 * not follow it there.
 */
export async function probeHttp(
  target: HttpTarget,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<Outcome> {
  // One timer and one listener: combined signals cost more than the probe itself.
  const limited = new AbortController();
  const timer = setTimeout(() => limited.abort(new Error(tooLate)), timeoutMs);
  const cancel = () => limited.abort(signal.reason);
  signal.addEventListener('abort', cancel, { once: true });
  let url = urlOf(target);
  try {
    for (let redirects = 0; ; redirects++) {
      const answer = await get(url, headersOf(target.headers, probeAgent), limited.signal);
      const next = redirectOf(answer, url);
      if (next === undefined) return verdict(answer);
      if (next.hostname !== url.hostname)
        return { result: 'warning', output: `Probe terminated redirects, Response body: ${answer.body}` };
      if (redirects === maxRedirects)
        return { result: 'failure', output: `Get "${url.href}": stopped after ${maxRedirects} redirects` };
      url = next;
    }
  } catch (error) {
    signal.throwIfAborted();
    const words = connectionError(error, url.hostname, target.port);
    return { result: 'failure', output: `Get "${url.href}": ${words}` };
  } finally {
    clearTimeout(timer);
    signal.removeEventListener('abort', cancel);
  }
}

function verdict({ status, body }: Answer): Outcome {
  if (status >= 200 && status < 400) return { result: 'success', output: body };
  return { result: 'failure', output: `HTTP probe failed with statuscode: ${status}` };
}

function redirectOf(answer: Answer, from: URL): URL | undefined {
  const redirects = [301, 302, 303, 307, 308];
  if (!redirects.includes(answer.status) || answer.location === undefined) return undefined;
  return URL.canParse(answer.location, from) ? new URL(answer.location, from) : undefined;
}

/** The URL of a target; what stands in `path` may hold a query. */
export function urlOf({ scheme, host, port, path }: HttpTarget): URL {
  const base = `${scheme}://${isIPv6(host) ? `[${host}]` : host}:${port}`;
  return new URL(path.startsWith('/') ? `${base}${path}` : `${base}/${path}`);
}

/** The headers to send: the kubelet's own only where the manifest says nothing; an empty Accept removes it. */
export function headersOf(stated: HttpTarget['headers'], agent: string): Record<string, string[] | string> {
  const headers: Record<string, string[]> = {};
  for (const { name, value } of stated) {
    const known = Object.keys(headers).find((key) => key.toLowerCase() === name.toLowerCase()) ?? name;
    headers[known] = [...(headers[known] ?? []), value];
  }
  const has = (name: string) => Object.keys(headers).some((key) => key.toLowerCase() === name);
  if (!has('user-agent')) headers['User-Agent'] = [agent];
  if (!has('accept')) headers.Accept = ['*/*'];
  const entries = Object.entries(headers).filter(([name, values]) => {
    return name.toLowerCase() !== 'accept' || values.some((value) => value !== '');
  });
  // Node wants Host as one string.
  return Object.fromEntries(
    entries.map(([name, values]) =>
      name.toLowerCase() === 'host' ? [name, values[0] ?? ''] : [name, values],
    ),
  );
}

/** Sends a GET. @throws what Node does for a connection that fails, or the signal's reason. */
export function get(
  url: URL,
  headers: Record<string, string[] | string>,
  signal?: AbortSignal,
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const options: RequestOptions = { agent: false, headers };
    const onAnswer = (response: IncomingMessage) => readAnswer(response).then(finish, fail);
    const request =
      url.protocol === 'https:'
        ? https.request(url, { ...options, rejectUnauthorized: false }, onAnswer)
        : http.request(url, options, onAnswer);
    const cancel = () => request.destroy(signal?.reason as Error);
    const finish = (answer: Answer) => {
      signal?.removeEventListener('abort', cancel);
      resolve(answer);
    };
    const fail = (error: unknown) => {
      signal?.removeEventListener('abort', cancel);
      reject(signal?.aborted === true ? signal.reason : error);
    };
    request.on('error', fail);
    if (signal?.aborted === true) cancel();
    else signal?.addEventListener('abort', cancel, { once: true });
    request.end();
  });
}

/** Reads as much of the body as is kept and hangs up: a body may be endless. */
function readAnswer(response: IncomingMessage): Promise<Answer> {
  const { promise, resolve, reject } = Promise.withResolvers<Answer>();
  const chunks: Buffer[] = [];
  let size = 0;
  const finish = () => {
    const body = Buffer.concat(chunks).subarray(0, maxOutput).toString();
    resolve({ status: response.statusCode ?? 0, body, location: response.headers.location });
  };
  response.on('data', (chunk: Buffer) => {
    chunks.push(chunk);
    size += chunk.length;
    if (size < maxOutput) return;
    finish();
    response.destroy();
  });
  response.on('end', finish);
  response.on('error', reject);
  return promise;
}
