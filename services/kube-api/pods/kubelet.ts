/** Passes calls about running containers on to the node's kubelet, as the original API server does. */
import { Agent, request as httpRequest } from 'undici';
import type { Node, Pod } from '#contracts/kubernetes/types.ts';
import { messageOf } from '#foundation/base/errors.ts';
import type { TlsClientOptions } from '#foundation/stream/http-upgrade.ts';
import type { ApiRequest } from '../http/request.ts';
import { badRequest, notFound, StatusError, unavailable } from '../http/status.ts';
import type { Call } from '../verbs/deps.ts';
import { objectName } from '../verbs/update.ts';

/** Where the kubelet answers. */
export interface KubeletEndpoint {
  /** `https://127.0.0.1:10250` */
  url: string;
  /** The authority that the kubelet's certificate must be from; any certificate is taken without one. */
  ca?: string;
}

/** The kubelet as the API sees it. */
export interface Kubelet {
  url: string;
  tls: TlsClientOptions;
  /** GETs or POSTs a path and passes the answer through as it comes. */
  pass(call: Pick<ApiRequest, 'response' | 'signal'>, method: string, path: string): Promise<void>;
  /** GETs JSON. @throws StatusError 503 when the kubelet does not answer. */
  json<T>(path: string): Promise<T>;
  close(): Promise<void>;
}

/** Milliseconds until a kubelet that says nothing is given up; follows of logs may be silent for ever. */
const connectMs = 5_000;

/** Connects to the kubelet as the API's own client. */
export function connectKubelet(endpoint: KubeletEndpoint, pair: { cert: string; key: string }): Kubelet {
  const tls: TlsClientOptions = { ...pair, ca: endpoint.ca, rejectUnauthorized: endpoint.ca !== undefined };
  const agent = new Agent({
    connect: { ...tls, timeout: connectMs },
    bodyTimeout: 0,
    headersTimeout: 60_000,
  });
  const ask = async (method: string, path: string, signal?: AbortSignal) => {
    try {
      return await httpRequest(`${endpoint.url}${path}`, {
        method: method as 'GET',
        dispatcher: agent,
        signal,
      });
    } catch (error) {
      throw unavailable(
        `Get "${endpoint.url}${path.split('?')[0]}": the kubelet does not answer: ${messageOf(error)}`,
      );
    }
  };
  return {
    url: endpoint.url,
    tls,
    pass: async ({ response, signal }, method, path) => {
      const answer = await ask(method, path, signal);
      if (answer.statusCode >= 400) throw kubeletError(answer.statusCode, await answer.body.text());
      response.writeHead(answer.statusCode, {
        'content-type': String(answer.headers['content-type'] ?? 'text/plain'),
      });
      response.flushHeaders();
      response.on('close', () => answer.body.destroy());
      answer.body.on('error', () => response.destroy());
      answer.body.pipe(response);
    },
    json: async <T>(path: string) => {
      const answer = await ask('GET', path, AbortSignal.timeout(connectMs));
      if (answer.statusCode >= 400) throw kubeletError(answer.statusCode, await answer.body.text());
      return (await answer.body.json()) as T;
    },
    close: () => agent.destroy(),
  };
}

/** The kubelet's refusal in the API's form. */
function kubeletError(status: number, text: string): StatusError {
  const said = text.trim();
  if (status === 404) return new StatusError(404, 'NotFound', said || 'the kubelet knows nothing of it');
  if (status === 400) return badRequest(said);
  return new StatusError(500, 'InternalError', `the kubelet answered ${status}: ${said}`);
}

/** The pod of a call, which must be on a node. @throws StatusError 404, 400. */
export function runningPod(call: Pick<Call, 'type' | 'deps'> & { request: Pick<ApiRequest, 'target'> }): {
  pod: Pod;
  node: string;
} {
  const { deps, type } = call;
  const name = objectName(call);
  const pod = deps.store.get('pods', name)?.object as Pod | undefined;
  if (pod === undefined) throw notFound(type.kind, name.name);
  const node = pod.spec.nodeName;
  if (!node) throw badRequest(`pod ${name.name} does not have a host assigned`);
  const found = deps.store.get('nodes', { name: node })?.object as Node | undefined;
  if (found === undefined) throw notFound(deps.registry.byKind('Node').kind, node);
  return { pod, node };
}

/** The container that a call means: the named one, the only one, or the default by annotation. @throws 400. */
export function containerOf({ spec, metadata }: Pod, asked: string | null): string {
  const all = [...spec.containers, ...(spec.initContainers ?? []), ...(spec.ephemeralContainers ?? [])].map(
    (each) => each.name,
  );
  if (asked !== null && asked !== '') {
    if (all.includes(asked)) return asked;
    throw badRequest(`container ${asked} is not valid for pod ${metadata.name}`);
  }
  const [first] = spec.containers;
  if (first !== undefined && spec.containers.length === 1) return first.name;
  const byDefault = metadata.annotations?.['kubectl.kubernetes.io/default-container'];
  if (byDefault !== undefined && all.includes(byDefault)) return byDefault;
  const choices = spec.containers.map((each) => each.name).join(' ');
  const init = (spec.initContainers ?? []).map((each) => each.name).join(' ');
  const or = init === '' ? '' : ` or one of the init containers: [${init}]`;
  throw badRequest(
    `a container name must be specified for pod ${metadata.name}, choose one of: [${choices}]${or}`,
  );
}
