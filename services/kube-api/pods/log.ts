/** The `log` subresource. */
import { isTrue } from '../http/request.ts';
import { badRequest, StatusError } from '../http/status.ts';
import type { Call } from '../verbs/deps.ts';
import { containerOf, type Kubelet, runningPod } from './kubelet.ts';

const passed = [
  'follow',
  'previous',
  'sinceSeconds',
  'sinceTime',
  'timestamps',
  'tailLines',
  'limitBytes',
  'stream',
];

/** Serves a pod's log. */
export async function podLog(call: Call, kubelet: Kubelet): Promise<void> {
  const { request } = call;
  const { query } = request;
  for (const option of ['sinceSeconds', 'tailLines', 'limitBytes']) checkNumber(query, option);
  if (query.has('sinceSeconds') && query.has('sinceTime'))
    throw new StatusError(
      422,
      'Invalid',
      'PodLogOptions "" is invalid: sinceTime: Forbidden: at most one of `sinceTime` or `sinceSeconds` may be specified',
    );
  const name = call.deps.store.get('pods', {
    namespace: request.target.namespace,
    name: request.target.name ?? '',
  });
  const pod = name === undefined ? runningPod(call).pod : (name.object as Parameters<typeof containerOf>[0]);
  const container = containerOf(pod, query.get('container'));
  // A pod without a node has said nothing yet.
  if (!pod.spec.nodeName) {
    request.response.writeHead(204).end();
    return;
  }
  const { namespace } = pod.metadata;
  const options = new URLSearchParams(
    passed.flatMap((each) => (query.has(each) ? [[each, query.get(each) ?? '']] : [])),
  );
  if (isTrue(query, 'follow')) request.response.setTimeout(0);
  await kubelet.pass(
    request,
    'GET',
    `/containerLogs/${namespace}/${pod.metadata.name}/${container}?${options}`,
  );
}

function checkNumber(query: URLSearchParams, name: string): void {
  const text = query.get(name);
  if (text !== null && !/^\d+$/.test(text))
    throw badRequest(`${name} must be a whole number, not ${JSON.stringify(text)}`);
}
