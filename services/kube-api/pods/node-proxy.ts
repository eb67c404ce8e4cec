/** `nodes/NAME/proxy/PATH`: the kubelet's own API through this one. */
import { notFound } from '../http/status.ts';
import type { Call } from '../verbs/deps.ts';
import type { Kubelet } from './kubelet.ts';

/** Passes a call on to the kubelet. */
export async function proxyNode(call: Call, kubelet: Kubelet): Promise<void> {
  const { request, deps, type } = call;
  const { name = '', rest = '' } = request.target;
  if (deps.store.get('nodes', { name }) === undefined) throw notFound(type.kind, name);
  const query = request.query.size === 0 ? '' : `?${request.query}`;
  const path = rest.split('/').map(encodeURIComponent).join('/');
  await kubelet.pass(request, 'GET', `/${path}${query}`);
}
