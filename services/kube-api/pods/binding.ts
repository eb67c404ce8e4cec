/** Binds pods to the node: the `binding` subresource, and what the scheduler does. */
import { formatTime } from '#contracts/kubernetes/meta.ts';
import type { Binding, Pod } from '#contracts/kubernetes/types.ts';
import { readParsed } from '../http/body.ts';
import { sendJson } from '../http/respond.ts';
import { badRequest, conflict, notFound } from '../http/status.ts';
import type { ApiDeps, Call } from '../verbs/deps.ts';
import { isDryRun } from '../verbs/deps.ts';
import { objectName } from '../verbs/update.ts';

/** Serves POST to `binding`. */
export async function bind(call: Call): Promise<void> {
  const { request, deps } = call;
  const binding = (await readParsed(request, 'Binding')) as Binding | null;
  const node = binding?.target?.name;
  if (typeof node !== 'string' || node === '')
    throw badRequest('Binding "" is invalid: target.name: Required value');
  const name = objectName(call);
  if (!isDryRun(request)) await bindPod(deps, name, node);
  sendJson(request, 201, { kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Success', code: 201 });
}

/** Sets a pod's node, once. @throws StatusError 404, 409 if it has one already or is going. */
export async function bindPod(
  deps: Pick<ApiDeps, 'store' | 'registry' | 'clock'>,
  name: { namespace?: string; name: string },
  node: string,
): Promise<void> {
  const { kind } = deps.registry.byKind('Pod');
  await deps.store.edit('pods', name, (current) => {
    if (current === undefined) throw notFound(kind, name.name);
    const pod = current.object as Pod;
    if (pod.metadata.deletionTimestamp !== undefined)
      throw conflict(kind, name.name, `pod ${name.name} is being deleted, cannot be assigned to a host`);
    if (pod.spec.nodeName)
      throw conflict(kind, name.name, `pod ${name.name} is already assigned to node "${pod.spec.nodeName}"`);
    return { put: bound(pod, node, formatTime(deps.clock.now())) };
  });
}

function bound(pod: Pod, node: string, time: string): Pod {
  const others = (pod.status?.conditions ?? []).filter((each) => each.type !== 'PodScheduled');
  const scheduled = {
    type: 'PodScheduled',
    status: 'True',
    lastProbeTime: undefined,
    lastTransitionTime: time,
  };
  return {
    ...pod,
    spec: { ...pod.spec, nodeName: node },
    status: { ...pod.status, conditions: [...others, scheduled] },
  };
}
