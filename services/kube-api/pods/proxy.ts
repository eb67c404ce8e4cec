/**
 * `pods/[SCHEME:]NAME[:PORT]/proxy/PATH` and the same of services: an HTTP call to what runs in a pod, by way of the
 * API. https://kubernetes.io/docs/tasks/access-application-cluster/access-cluster-services/
 */
import { request as httpRequest, type IncomingHttpHeaders, type RequestOptions } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { matchesLabels } from '#contracts/kubernetes/labels.ts';
import type { Pod, Service } from '#contracts/kubernetes/types.ts';
import { messageOf } from '#foundation/base/errors.ts';
import { badRequest, notFound, unavailable } from '../http/status.ts';
import type { Call } from '../verbs/deps.ts';

/** Milliseconds until the pod must have begun to answer. */
const answerMs = 60_000;
/** Headers that belong to one connection, and what the pod must not learn: how the caller proved who they are. */
const dropped = new Set([
  'connection',
  'keep-alive',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'authorization',
  'host',
]);

interface Place {
  secure: boolean;
  host: string;
  port: number;
}

/** Serves a call to a pod. */
export async function proxyPod(call: Call): Promise<void> {
  const { scheme, name, port } = splitName(call.request.target.name ?? '');
  const pod = call.deps.store.get('pods', { namespace: call.request.target.namespace, name })?.object as
    | Pod
    | undefined;
  if (pod === undefined) throw notFound(call.type.kind, name);
  const number = port === '' ? pod.spec.containers[0]?.ports?.[0]?.containerPort : portOf(pod, port);
  await pass(call, placeOf(pod, scheme, number ?? (scheme === 'https' ? 443 : 80)));
}

/** Serves a call to a ready pod of a service. */
export async function proxyService(call: Call): Promise<void> {
  const { target } = call.request;
  const { store } = call.deps;
  const { scheme, name, port } = splitName(target.name ?? '');
  const { namespace } = target;
  const service = store.get('services', { namespace, name })?.object as Service | undefined;
  if (service === undefined) throw notFound(call.type.kind, name);
  const ports = service.spec?.ports ?? [];
  const wanted = ports.find((each) => port === '' || each.name === port || String(each.port) === port);
  if (wanted === undefined) throw badRequest(`service ${name} has no port ${JSON.stringify(port)}`);
  const labels = Object.entries(service.spec?.selector ?? {});
  const pod = store
    .list('pods', namespace)
    .map(({ object }) => object as Pod)
    .find(
      (each) =>
        labels.length > 0 &&
        isReady(each) &&
        matchesLabels(
          labels.map(([key, value]) => ({ key, operator: 'in' as const, values: [value] })),
          each.metadata.labels,
        ),
    );
  if (pod === undefined) throw unavailable(`no endpoints available for service ${JSON.stringify(name)}`);
  const to = wanted.targetPort ?? wanted.port;
  await pass(call, placeOf(pod, scheme, typeof to === 'number' && to > 0 ? to : portOf(pod, String(to))));
}

function splitName(text: string): { scheme: string; name: string; port: string } {
  const parts = text.split(':');
  const [scheme = '', name = '', port = ''] = parts.length === 3 ? parts : ['', ...parts];
  if (parts.length > 3 || name === '' || !['', 'http', 'https'].includes(scheme))
    throw badRequest(`${JSON.stringify(text)} is not [http:|https:]NAME[:PORT]`);
  return { scheme, name, port };
}

function portOf({ spec, metadata }: Pod, port: string): number {
  const number = Number(port);
  if (Number.isInteger(number) && number > 0 && number < 65_536) return number;
  const named = spec.containers.flatMap((each) => each.ports ?? []).find((each) => each.name === port);
  if (named === undefined) throw badRequest(`pod ${metadata.name} has no port ${JSON.stringify(port)}`);
  return named.containerPort;
}

function isReady({ status, metadata }: Pod): boolean {
  const ready = status?.conditions?.some(({ type, status: is }) => type === 'Ready' && is === 'True');
  return ready === true && metadata.deletionTimestamp === undefined;
}

function placeOf({ status, metadata }: Pod, scheme: string, port: number): Place {
  const host = status?.podIP;
  if (host === undefined || host === '') throw unavailable(`pod ${metadata.name} has no address`);
  // What listens on the node's own loopback is not the pod's.
  if (/^(127\.|169\.254\.|::1$|fe80:)/i.test(host)) throw badRequest('address not allowed');
  return { secure: scheme === 'https', host, port };
}

/**
 * Sends the call on and the answer back, both as they come.
 *
 * @param patienceMs until the answer begins; then it may take any time, and be silent.
 * @throws StatusError 503.
 */
export function pass(
  { request }: Pick<Call, 'request'>,
  { secure, host, port }: Place,
  patienceMs = answerMs,
): Promise<void> {
  const { raw, response, target, query } = request;
  const path = (target.rest ?? '').split('/').map(encodeURIComponent).join('/');
  const slash = path !== '' && raw.url?.split('?')[0]?.endsWith('/') === true ? '/' : '';
  const options: RequestOptions = {
    host,
    port,
    method: raw.method,
    path: `/${path}${slash}${query.size === 0 ? '' : `?${query}`}`,
    headers: { ...passed(raw.headers), 'x-forwarded-uri': raw.url?.split('?')[0] },
    timeout: patienceMs,
    signal: request.signal,
  };
  return new Promise((resolve, reject) => {
    // Nobody vouches for certificates within pods: the original does not ask either.
    const to = secure ? httpsRequest({ ...options, rejectUnauthorized: false }) : httpRequest(options);
    to.on('timeout', () => to.destroy(new Error(`no answer within ${patienceMs / 1000} s`)));
    to.on('error', (error) => reject(unavailable(`error trying to reach service: ${messageOf(error)}`)));
    to.on('response', (answer) => {
      to.setTimeout(0);
      response.writeHead(answer.statusCode ?? 502, passed(answer.headers));
      answer.on('error', () => response.destroy());
      response.on('close', () => answer.destroy());
      answer.pipe(response);
      resolve();
    });
    raw.pipe(to);
  });
}

function passed(headers: IncomingHttpHeaders): IncomingHttpHeaders {
  return Object.fromEntries(Object.entries(headers).filter(([name]) => !dropped.has(name)));
}
