/** PUT of an object or of a part of it. */
import type { KubeObject } from '#contracts/kubernetes/types.ts';
import type { ApiRequest } from '../http/request.ts';
import { badRequest, notFound } from '../http/status.ts';
import type { ResourceType } from '../kinds/strategy.ts';
import type { Stored } from '../storage/history.ts';
import { createObject } from './create.ts';
import { readObject } from './decode.ts';
import { type Call, isDryRun } from './deps.ts';
import { finishIfDone } from './finish.ts';
import { prepareUpdate } from './prepare.ts';
import { sendObject } from './present.ts';

/** Serves an update. */
export async function update(call: Call): Promise<void> {
  const { request, type, deps } = call;
  const object = await readObject(request, type.kind, (value) => fromOld(call, value));
  const { name = '', subresource } = request.target;
  if (object.metadata.name !== undefined && object.metadata.name !== name)
    throw badRequest(
      `the name of the object (${object.metadata.name}) does not match the name on the URL (${name})`,
    );
  object.metadata.name = name;
  const where = objectName(call);
  if (
    type.kind.namespaced &&
    object.metadata.namespace !== undefined &&
    object.metadata.namespace !== where.namespace
  )
    throw badRequest('the namespace of the provided object does not match the namespace sent on the request');
  if (
    deps.store.get(type.resource, where) === undefined &&
    type.strategy.createOnUpdate === true &&
    subresource === undefined
  ) {
    sendObject(call, 201, await createObject(call, object));
    return;
  }
  sendObject(call, 200, await changeObject(call, () => object));
}

/** What a client of old means, in the form of today. */
function fromOld(call: Call, value: unknown): unknown {
  const { type, deps, request } = call;
  const translate = type.strategy.parts?.[request.target.subresource ?? '']?.fromOld;
  const before = deps.store.get(type.resource, objectName(call))?.object;
  if (translate === undefined || before === undefined || typeof value !== 'object' || value === null)
    return value;
  return translate(value as Record<string, unknown>, before as never) ?? value;
}

/** Namespace and name of the object that a call is about. */
export function objectName({ request, type }: { request: Pick<ApiRequest, 'target'>; type: ResourceType }): {
  namespace?: string;
  name: string;
} {
  const { namespace, name = '' } = request.target;
  return type.kind.namespaced ? { namespace, name } : { name };
}

/**
 * Changes an object in one step: reads it, asks `change` what it is to be, prepares, checks and writes that.
 *
 * @param options.tracked whether `change` has recorded the owners of fields itself.
 * @throws StatusError, 404 if it is not there.
 */
export async function changeObject(
  call: Call,
  change: (before: KubeObject) => KubeObject,
  options: { tracked?: boolean } = {},
): Promise<Stored | KubeObject> {
  const { type, deps, request } = call;
  const where = objectName(call);
  let dry: KubeObject | undefined;
  const stored = await deps.store.edit(type.resource, where, (current) => {
    if (current === undefined) throw notFound(type.kind, where.name);
    const next = prepareUpdate(call, current.object, change(current.object), options.tracked !== true);
    if (isDryRun(request)) dry = next;
    if (next === current.object || dry !== undefined) return 'keep';
    return finishIfDone(next) ? { remove: next } : { put: next };
  });
  if (dry !== undefined) return dry;
  if (stored === undefined) throw notFound(type.kind, where.name);
  return stored;
}
