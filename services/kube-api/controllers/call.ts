/** Calls that come from inside. */
import type { ApiRequest } from '../http/request.ts';
import type { ResourceType } from '../kinds/strategy.ts';
import type { ObjectName } from '../storage/memory.ts';
import type { ApiDeps, Call } from '../verbs/deps.ts';

/** A call by the system itself on one object; it has no answer to give. */
export function internalCall(deps: ApiDeps, type: ResourceType, { namespace, name }: ObjectName): Call {
  const { group, version, plural } = type.kind;
  const request = {
    raw: { headers: { 'user-agent': 'skiff-controller' } },
    method: 'POST',
    segments: [],
    path: '',
    query: new URLSearchParams(),
    target: { group, version, resource: plural, namespace, name },
    user: { name: 'system:skiff', groups: ['system:masters', 'system:authenticated'] },
    signal: new AbortController().signal,
    warnings: [],
  };
  return { request: request as unknown as ApiRequest, type, deps };
}
