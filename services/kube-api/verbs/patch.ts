/** PATCH: JSON, merge, strategic merge, and server-side apply. */
import { formatTime } from '#contracts/kubernetes/meta.ts';
import type { KubeObject } from '#contracts/kubernetes/types.ts';
import { isSkiffError, messageOf } from '#foundation/base/errors.ts';
import { applyConfiguration } from '../apply/apply.ts';
import { contentType, parseBody, readBody, unsupportedType } from '../http/body.ts';
import { isTrue } from '../http/request.ts';
import { badRequest, invalid, StatusError } from '../http/status.ts';
import { applyJsonPatch } from '../patch/json-patch.ts';
import { applyMergePatch, isRecord } from '../patch/merge-patch.ts';
import { applyStrategicMerge } from '../patch/strategic-merge.ts';
import { createObject } from './create.ts';
import { asObject } from './decode.ts';
import { type Call, fieldManager } from './deps.ts';
import { sendObject } from './present.ts';
import { changeObject, objectName } from './update.ts';

const applyType = 'application/apply-patch+yaml';
const patchTypes = [
  'application/json-patch+json',
  'application/merge-patch+json',
  'application/strategic-merge-patch+json',
  applyType,
];

/** Serves a patch. */
export async function patch(call: Call): Promise<void> {
  const { request, type } = call;
  const sort = contentType(request);
  if (!patchTypes.includes(sort)) throw unsupportedType(sort, patchTypes);
  const body = parseBody(await readBody(request), sort);
  if (sort === applyType) return apply(call, body);
  const changed = await changeObject(call, (before) => {
    const next = patched(sort, type.kind.model, before, body);
    if (!isRecord(next)) throw badRequest('the patch makes something that is no object');
    return asObject(request, type.kind, next, [], badPatch);
  });
  sendObject(call, 200, changed);
}

/** 422: what the patch makes is no object of the kind. */
function badPatch(_kind: unknown, why: string): StatusError {
  const [field, reason] = ['patch', `Invalid value: ${why}`];
  return new StatusError(422, 'Invalid', ` "" is invalid: ${field}: ${reason}`, {
    causes: [{ reason: 'FieldValueInvalid', message: reason, field }],
  });
}

function patched(sort: string, model: string, before: KubeObject, body: unknown): unknown {
  try {
    if (sort === 'application/json-patch+json') {
      if (!Array.isArray(body)) throw badRequest('a JSON patch is a list of operations');
      return applyJsonPatch(before, body);
    }
    if (!isRecord(body)) throw badRequest('the patch is no object');
    if (sort === 'application/merge-patch+json') return applyMergePatch(before, body);
    return applyStrategicMerge(model, before, body);
  } catch (error) {
    if (error instanceof StatusError || !isSkiffError(error)) throw error;
    const status = sort === 'application/json-patch+json' ? 422 : 400;
    const reason = status === 422 ? 'Invalid' : 'BadRequest';
    throw new StatusError(
      status,
      reason,
      `${status === 422 ? 'the server rejected our request due to an error in our request: ' : ''}${messageOf(error)}`,
    );
  }
}

async function apply(call: Call, body: unknown): Promise<void> {
  const { request, type, deps } = call;
  const config = asObject(request, type.kind, body);
  const where = objectName(call);
  const manager = request.query.get('fieldManager') ?? '';
  if (manager === '')
    throw new StatusError(
      422,
      'Invalid',
      'PatchOptions.meta.k8s.io "" is invalid: fieldManager: Required value: is required for apply patch',
    );
  if (isRecord(body) && (body.apiVersion === undefined || body.kind === undefined))
    throw badRequest('an applied configuration names its apiVersion and kind');
  if (config.metadata.managedFields !== undefined) throw badRequest('metadata.managedFields must be nil');
  if (config.metadata.name !== undefined && config.metadata.name !== where.name)
    throw badRequest(
      `the name of the object (${config.metadata.name}) does not match the name on the URL (${where.name})`,
    );
  config.metadata.name = where.name;
  if (where.namespace !== undefined) config.metadata.namespace = where.namespace;
  const exists = deps.store.get(type.resource, where) !== undefined;
  if (!exists) {
    if (request.target.subresource !== undefined || config.metadata.uid !== undefined)
      throw invalidApply(call, where.name);
    const created = await createObject({ ...call, apply: true }, config);
    sendObject(call, 201, created);
    return;
  }
  const options = {
    name: fieldManager(request),
    subresource: request.target.subresource,
    time: formatTime(deps.clock.now()),
  };
  const force = isTrue(request.query, 'force');
  const changed = await changeObject(
    call,
    (before) => applyConfiguration(type, before, config, options, force),
    { tracked: true },
  );
  sendObject(call, 200, changed);
}

function invalidApply({ type }: Call, name: string): StatusError {
  return invalid(type.kind, name, [
    { type: 'FieldValueInvalid', field: 'metadata.uid', reason: 'Invalid value: the object does not exist' },
  ]);
}
