/** The steps between what a client sent and what is stored: system metadata, admission, defaults, validation. */
import { randomUUID } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import { applyDefaults } from '#contracts/kubernetes/defaults/defaults.ts';
import { formatTime, generateName } from '#contracts/kubernetes/meta.ts';
import { modelOf } from '#contracts/kubernetes/schema/schema.ts';
import type { KubeObject, Namespace } from '#contracts/kubernetes/types.ts';
import {
  validateCreate,
  validateMetaUpdate,
  validateUpdate,
} from '#contracts/kubernetes/validation/validate.ts';
import { trackApplied, trackUpdate } from '../apply/track.ts';
import { admitFromNode } from '../auth/node-admission.ts';
import type { ApiRequest } from '../http/request.ts';
import { badRequest, conflict, forbidden, invalid, modified, noSuchPath, notFound } from '../http/status.ts';
import type { ResourceType } from '../kinds/strategy.ts';
import { type ApiDeps, type Call, fieldManager, surroundings } from './deps.ts';

/** Objects with a spec and a status, loosely. */
type Loose = KubeObject & { spec?: unknown; status?: unknown };

/** Makes a new object complete. @throws StatusError if it may not be. */
export function prepareCreate(call: Call, object: KubeObject): KubeObject {
  const { type, deps, request } = call;
  const { kind, strategy } = type;
  const around = surroundings(call);
  const sent = structuredClone(object);
  takeNamespace(request, type, object);
  if (object.metadata.resourceVersion)
    throw badRequest('resourceVersion should not be set on objects to be created');
  nameObject(object);
  const fresh = { ...object.metadata };
  for (const field of [
    'deletionTimestamp',
    'deletionGracePeriodSeconds',
    'selfLink',
    'resourceVersion',
    'generation',
  ] as const)
    delete fresh[field];
  object.metadata = {
    ...fresh,
    uid: randomUUID(),
    creationTimestamp: formatTime(around.now),
  } as KubeObject['metadata'];
  if (strategy.generation === true) object.metadata.generation = 1;
  if (strategy.finalizers !== undefined)
    object.metadata.finalizers = [
      ...new Set([...(object.metadata.finalizers ?? []), ...strategy.finalizers]),
    ];
  admitFromNode(kind, object, request.user);
  if (kind.namespaced) requireNamespace(deps, type, object);
  if (strategy.statusOnCreate !== true && hasStatus(type)) delete (object as Loose).status;
  applyDefaults(kind, object);
  const problems = validateCreate(kind, object);
  if (problems.length > 0) throw invalid(kind, object.metadata.name ?? '', problems);
  strategy.prepareCreate?.(object as never, around);
  const clean = tidy(object);
  return call.apply === true
    ? trackApplied(type, sent, clean, manager(call))
    : trackUpdate(type, undefined, clean, manager(call));
}

function manager({ request, deps }: Call) {
  return {
    name: fieldManager(request),
    subresource: request.target.subresource,
    time: formatTime(deps.clock.now()),
  };
}

/** The namespace of the path, which the body must not contradict. */
function takeNamespace({ target }: ApiRequest, { kind }: ResourceType, object: KubeObject): void {
  if (!kind.namespaced) return;
  const { namespace } = target;
  if (namespace === undefined) throw noSuchPath(`${kind.plural} are created in a namespace`);
  if (
    object.metadata.namespace !== undefined &&
    object.metadata.namespace !== '' &&
    object.metadata.namespace !== namespace
  )
    throw badRequest('the namespace of the provided object does not match the namespace sent on the request');
  object.metadata.namespace = namespace;
}

function nameObject(object: KubeObject): void {
  const { name, generateName: base } = object.metadata;
  if ((name === undefined || name === '') && base !== undefined && base !== '')
    object.metadata.name = generateName(base);
}

function requireNamespace({ store, registry }: ApiDeps, type: ResourceType, object: KubeObject): void {
  const name = object.metadata.namespace ?? '';
  const namespace = store.get('namespaces', { name })?.object as Namespace | undefined;
  if (namespace === undefined) throw notFound(registry.byKind('Namespace').kind, name);
  if (namespace.metadata.deletionTimestamp !== undefined)
    throw forbidden(
      type.kind,
      object.metadata.name,
      `unable to create new content in namespace ${name} because it is being terminated`,
    );
}

/** Whether the kind has a status of its own. */
export function hasStatus({ kind }: ResourceType): boolean {
  return modelOf(kind.model)?.has('status') ?? false;
}

/** Without undefined values, so that objects compare as their JSON does. */
function tidy<T>(object: T): T {
  return JSON.parse(JSON.stringify(object)) as T;
}

/** Metadata that only the server sets. */
const systemFields = [
  'uid',
  'creationTimestamp',
  'deletionTimestamp',
  'deletionGracePeriodSeconds',
  'generation',
  'selfLink',
] as const;

/**
 * The object that replaces `before`, or `before` itself if nothing changes.
 *
 * @param sent what the client wants it to be.
 * @param track records whose fields changed; left out where apply has done so.
 * @throws StatusError.
 */
export function prepareUpdate(call: Call, before: KubeObject, sent: KubeObject, track = true): KubeObject {
  const { type, request } = call;
  checkLocks(type, before, sent);
  const asked = tidy(sent);
  const now = { ...asked, metadata: keepSystemFields(asked, before) };
  const around = surroundings(call);
  const { subresource } = request.target;
  const part = subresource === undefined ? undefined : type.strategy.parts?.[subresource];
  const next =
    part === undefined
      ? replace(call, now, before)
      : (part.merge(now as never, before as never, around) as KubeObject);
  const clean = tidy(next);
  const problems =
    part === undefined
      ? validateUpdate(type.kind, clean, before)
      : validateMetaUpdate(type.kind, clean, before);
  problems.push(...(part?.validate?.(clean as never, before as never) ?? []));
  if (problems.length > 0) throw invalid(type.kind, before.metadata.name, problems);
  if (type.strategy.generation === true && !isDeepStrictEqual((clean as Loose).spec, (before as Loose).spec))
    clean.metadata.generation = (before.metadata.generation ?? 1) + 1;
  const tracked = track ? trackUpdate(type, before, clean, manager(call)) : clean;
  return sameContent(tracked, before) ? before : tracked;
}

function checkLocks({ kind }: ResourceType, before: KubeObject, now: KubeObject): void {
  const { name, resourceVersion, uid } = before.metadata;
  const asked = now.metadata.resourceVersion;
  if (now.metadata.uid && now.metadata.uid !== uid)
    throw conflict(
      kind,
      name,
      `Precondition failed: UID in precondition: ${now.metadata.uid}, UID in object meta: ${uid}`,
    );
  if (asked !== undefined && asked !== '' && asked !== '0' && asked !== resourceVersion)
    throw modified(kind, name);
}

function keepSystemFields(now: KubeObject, before: KubeObject): KubeObject['metadata'] {
  const metadata = { ...now.metadata } as Record<string, unknown>;
  for (const field of systemFields) {
    if (before.metadata[field] === undefined) delete metadata[field];
    else metadata[field] = before.metadata[field];
  }
  metadata.namespace ??= before.metadata.namespace;
  metadata.name ??= before.metadata.name;
  if (metadata.namespace === undefined) delete metadata.namespace;
  if (before.metadata.generateName !== undefined) metadata.generateName ??= before.metadata.generateName;
  return metadata as unknown as KubeObject['metadata'];
}

function replace(call: Call, now: KubeObject, before: KubeObject): KubeObject {
  const { type } = call;
  const next = { ...now } as Loose;
  if (hasStatus(type)) {
    if ((before as Loose).status === undefined) delete next.status;
    else next.status = structuredClone((before as Loose).status);
  }
  applyDefaults(type.kind, next);
  type.strategy.prepareUpdate?.(next as never, before as never, surroundings(call));
  return next;
}

/** Whether two objects differ in nothing but bookkeeping. */
function sameContent(a: KubeObject, b: KubeObject): boolean {
  const strip = ({ metadata, ...rest }: KubeObject) => {
    const { resourceVersion: _revision, managedFields, ...meta } = metadata;
    const managers = managedFields?.map(({ time: _time, ...entry }) => entry);
    return { ...rest, metadata: meta, managers };
  };
  return isDeepStrictEqual(strip(a), strip(b));
}
