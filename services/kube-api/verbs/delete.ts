/**
 * DELETE of an object or a collection: preconditions, grace for pods, finalizers, and what becomes of dependents.
 * https://kubernetes.io/docs/concepts/overview/working-with-objects/finalizers/
 */

import { shapeAs } from '#contracts/kubernetes/decode/shape.ts';
import { formatTime } from '#contracts/kubernetes/meta.ts';
import type { DeleteOptions, KubeObject } from '#contracts/kubernetes/types.ts';
import { contentType, parseBody, readBody } from '../http/body.ts';
import type { ApiRequest } from '../http/request.ts';
import { sendJson } from '../http/respond.ts';
import { badRequest, conflict, notFound } from '../http/status.ts';
import type { Stored } from '../storage/history.ts';
import { type Call, surroundings } from './deps.ts';
import { finishIfDone } from './finish.ts';
import { sendList, sendObject } from './present.ts';
import { selectionOf } from './selection.ts';
import { objectName } from './update.ts';

/** Finalizers that stand for a wish about dependents; the garbage collector takes them away. */
const foreground = 'foregroundDeletion';
const orphan = 'orphan';

/** Serves a deletion of one object. */
export async function deleteOne(call: Call): Promise<void> {
  const { request, type } = call;
  const options = await readOptions(request);
  const { name } = objectName(call);
  const { object, gone } = await deleteObject(call, objectName(call), options);
  const waits = !gone && options.propagationPolicy === 'Foreground';
  if (type.strategy.returnsDeleted === true || !gone) {
    sendObject(call, waits ? 202 : 200, object);
    return;
  }
  const { group, plural } = type.kind;
  const details = { name, ...(group === '' ? {} : { group }), kind: plural, uid: object.metadata.uid };
  sendJson(request, 200, { kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Success', details });
}

/** Serves a deletion of all objects that match. */
export async function deleteCollection(call: Call): Promise<void> {
  const { request, type, deps } = call;
  const options = await readOptions(request);
  const selection = selectionOf(request, type);
  const found = deps.store
    .list(type.resource, selection.namespace)
    .filter(({ object }) => selection.matches(object));
  await Promise.all(
    found.map(async ({ object: { metadata } }) => {
      const name = { namespace: metadata.namespace, name: metadata.name };
      await deleteObject(call, name, { ...options, preconditions: { uid: metadata.uid } }).catch(ignoreGone);
    }),
  );
  sendList(call, found, { revision: deps.store.revision() });
}

function ignoreGone(error: unknown): void {
  const code = (error as { status?: { code?: number } }).status?.code;
  if (code !== 404 && code !== 409) throw error;
}

/** Reads options from the body, or else from the query. @throws 400. */
async function readOptions(request: ApiRequest): Promise<DeleteOptions> {
  const { query } = request;
  const bytes = await readBody(request);
  const fromQuery: DeleteOptions = {};
  const grace = query.get('gracePeriodSeconds');
  if (grace !== null) fromQuery.gracePeriodSeconds = wholeNumber(grace);
  const policy = query.get('propagationPolicy');
  if (policy !== null) fromQuery.propagationPolicy = policy;
  if (query.get('orphanDependents') === 'true') fromQuery.propagationPolicy = 'Orphan';
  if (query.has('dryRun')) fromQuery.dryRun = query.getAll('dryRun');
  if (bytes.length === 0) return checked(fromQuery);
  const { value, problems } = shapeAs(
    'DeleteOptions',
    parseBody(bytes, contentType(request), 'DeleteOptions'),
  );
  const wrong = problems.find((problem) => problem.kind === 'type');
  if (wrong !== undefined)
    throw badRequest(`the body is no DeleteOptions: ${wrong.path.join('.')}: ${wrong.reason}`);
  return checked({ ...fromQuery, ...(value as DeleteOptions) });
}

function checked(options: DeleteOptions): DeleteOptions {
  if (options.orphanDependents === true) options.propagationPolicy ??= 'Orphan';
  const policies = ['Background', 'Foreground', 'Orphan'];
  if (options.propagationPolicy !== undefined && !policies.includes(options.propagationPolicy))
    throw badRequest(
      `DeleteOptions.meta.k8s.io "" is invalid: propagationPolicy: Unsupported value: "${options.propagationPolicy}": supported values: ${policies.map((each) => `"${each}"`).join(', ')}`,
    );
  if ((options.gracePeriodSeconds ?? 0) < 0) options.gracePeriodSeconds = 1;
  return options;
}

function wholeNumber(text: string): number {
  const number = Number(text);
  if (!Number.isInteger(number))
    throw badRequest(`gracePeriodSeconds must be a number, not ${JSON.stringify(text)}`);
  return number;
}

/** Deletes an object, or begins to. @returns it as it is now, or was last. @throws StatusError. */
export async function deleteObject(
  call: Call,
  name: { namespace?: string; name: string },
  options: DeleteOptions,
): Promise<{ object: KubeObject; stored?: Stored; gone: boolean }> {
  const { type, deps } = call;
  let result: KubeObject | undefined;
  let gone = false;
  const dryRun = options.dryRun?.includes('All') ?? false;
  const stored = await deps.store.edit(type.resource, name, (current) => {
    if (current === undefined) throw notFound(type.kind, name.name);
    checkPreconditions(call, current.object, options);
    type.strategy.checkDelete?.(current.object as never, surroundings(call));
    const next = markDeleted(call, current.object, options);
    result = next;
    gone = finishIfDone(next);
    if (dryRun || next === current.object) return 'keep';
    return gone ? { remove: next } : { put: next };
  });
  return { object: dryRun || stored === undefined ? (result as KubeObject) : stored.object, stored, gone };
}

function checkPreconditions(
  { type }: Call,
  { metadata }: KubeObject,
  { preconditions = {} }: DeleteOptions,
): void {
  const { uid, resourceVersion } = preconditions;
  if (uid !== undefined && uid !== metadata.uid)
    throw conflict(
      type.kind,
      metadata.name,
      `Precondition failed: UID in precondition: ${uid}, UID in object meta: ${metadata.uid}`,
    );
  if (resourceVersion !== undefined && resourceVersion !== metadata.resourceVersion)
    throw conflict(
      type.kind,
      metadata.name,
      `Precondition failed: ResourceVersion in precondition: ${resourceVersion}, ResourceVersion in object meta: ${metadata.resourceVersion}`,
    );
}

/** The object with its deletion under way; itself if nothing changes. */
function markDeleted({ type, deps }: Call, object: KubeObject, options: DeleteOptions): KubeObject {
  const { metadata } = object;
  const asked = type.strategy.gracePeriod?.(object as never, options.gracePeriodSeconds) ?? 0;
  const before = metadata.deletionGracePeriodSeconds;
  const finalizers = new Set(metadata.finalizers ?? []);
  if (options.propagationPolicy === 'Foreground') finalizers.add(foreground);
  if (options.propagationPolicy === 'Orphan') finalizers.add(orphan);
  const begun = metadata.deletionTimestamp !== undefined;
  // A deletion under way can only be made shorter.
  if (
    begun &&
    before !== undefined &&
    asked >= before &&
    finalizers.size === (metadata.finalizers ?? []).length
  )
    return object;
  const grace = begun && before !== undefined ? Math.min(asked, before) : asked;
  const end = formatTime(deps.clock.now() + grace * 1000);
  const marked = {
    ...metadata,
    deletionTimestamp: begun && grace === before ? metadata.deletionTimestamp : end,
    deletionGracePeriodSeconds: grace,
    ...(finalizers.size === 0 ? {} : { finalizers: [...finalizers] }),
  };
  if (type.strategy.generation === true && !begun) marked.generation = (metadata.generation ?? 1) + 1;
  const status =
    type.kind.kind === 'Namespace'
      ? { status: { ...(object as { status?: object }).status, phase: 'Terminating' } }
      : {};
  return { ...object, ...status, metadata: marked } as KubeObject;
}
