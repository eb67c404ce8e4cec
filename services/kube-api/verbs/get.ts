/** GET of one object. */
import { notFound } from '../http/status.ts';
import type { Call } from './deps.ts';
import { checkRevision } from './list.ts';
import { sendObject } from './present.ts';

/** Serves a get. */
export function get(call: Call): void {
  const { request, type, deps } = call;
  const { namespace, name = '' } = request.target;
  checkRevision(request.query, deps.store.revision());
  const stored = deps.store.get(type.resource, {
    namespace: type.kind.namespaced ? namespace : undefined,
    name,
  });
  if (stored === undefined) throw notFound(type.kind, name);
  sendObject(call, 200, stored);
}
