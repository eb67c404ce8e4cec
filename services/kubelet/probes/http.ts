/** httpGet probes and hooks: one request on a connection of its own, no proxy, certificates not checked. */
import { isIPv6 } from 'node:net';
import { connectionError } from './dial-error.ts';
import type { Answer } from './http-answer.ts';
import { BodyError, get } from './http-get.ts';
import type { HttpTarget, Outcome } from './outcome.ts';

/** The kubelet's names for itself; servers filter their access logs by them. */
export const probeAgent = 'kube-probe/1.36';
export const lifecycleAgent = 'kube-lifecycle/1.36';

const maxRedirects = 10;

/**
 * Probes by GET. 200 to 399 is success; a redirect to another host is success with a warning, as the kubelet does
 * not follow it there.
 *
 * @throws BodyError when an answer broke off: no verdict on the container.
 */
export async function probeHttp(
  target: HttpTarget,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<Outcome> {
  const deadline = performance.now() + timeoutMs;
  const headers = headersOf(target.headers, probeAgent);
  let url = urlOf(target);
  try {
    for (let redirects = 0; ; redirects++) {
      const left = Math.max(1, deadline - performance.now());
      const answer = await get(url, headers, { signal, timeoutMs: left });
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
    if (error instanceof BodyError) throw error;
    const words = connectionError(error, url.hostname, target.port);
    return { result: 'failure', output: `Get "${url.href}": ${words}` };
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
