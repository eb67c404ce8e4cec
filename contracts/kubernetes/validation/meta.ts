/** What every object's metadata must be: ValidateObjectMeta and ValidateObjectMetaUpdate. */
import type { KindInfo } from '../kinds.ts';
import type { ObjectMeta } from '../types.ts';
import {
  dnsLabelProblems,
  dnsSubdomainProblems,
  labelKeyProblems,
  labelValueProblems,
  pathSegmentProblems,
} from './names.ts';
import type { Problems } from './problems.ts';

/** Bytes of all annotations of an object together. */
const maxAnnotations = 256 * 1024;

/** The rule for names of a kind. */
function nameRule(kind: string): (name: string) => string[] {
  if (kind === 'Namespace') return dnsLabelProblems;
  // Relaxed since 1.36: a service's name may begin with a digit.
  if (kind === 'Service') return dnsLabelProblems;
  if (kind === 'CertificateSigningRequest') return pathSegmentProblems;
  return dnsSubdomainProblems;
}

/** Checks the metadata of a new object. */
export function checkMeta(kind: KindInfo, meta: ObjectMeta, problems: Problems): void {
  const path = 'metadata';
  const rule = nameRule(kind.kind);
  if (meta.generateName !== undefined && meta.generateName !== '')
    problems.invalidAll(`${path}.generateName`, meta.generateName, rule(trimDash(meta.generateName)));
  if (meta.name === undefined || meta.name === '')
    problems.required(`${path}.name`, 'name or generateName is required');
  else problems.invalidAll(`${path}.name`, meta.name, rule(meta.name));
  if (kind.namespaced) {
    if (meta.namespace === undefined || meta.namespace === '') problems.required(`${path}.namespace`);
    else problems.invalidAll(`${path}.namespace`, meta.namespace, dnsLabelProblems(meta.namespace));
  } else if (meta.namespace !== undefined && meta.namespace !== '') {
    problems.forbidden(`${path}.namespace`, 'not allowed on this type');
  }
  checkLabels(meta.labels, `${path}.labels`, problems);
  checkAnnotations(meta.annotations, `${path}.annotations`, problems);
  checkOwners(meta, problems);
  for (const [at, finalizer] of (meta.finalizers ?? []).entries())
    problems.invalidAll(`${path}.finalizers[${at}]`, finalizer, labelKeyProblems(finalizer));
}

/** A dash at the end of a generateName is followed by letters. */
function trimDash(base: string): string {
  return base.endsWith('-') && base.length > 1 ? `${base.slice(0, -1)}a` : base;
}

/** Checks labels: `path: Invalid value: "key"`. */
export function checkLabels(labels: ObjectMeta['labels'], path: string, problems: Problems): void {
  for (const [key, value] of Object.entries(labels ?? {})) {
    problems.invalidAll(path, key, labelKeyProblems(key));
    problems.invalidAll(path, value, labelValueProblems(value));
  }
}

function checkAnnotations(annotations: ObjectMeta['annotations'], path: string, problems: Problems): void {
  let bytes = 0;
  for (const [key, value] of Object.entries(annotations ?? {})) {
    problems.invalidAll(path, key, labelKeyProblems(key.toLowerCase()));
    bytes += key.length + Buffer.byteLength(value);
  }
  if (bytes > maxAnnotations) problems.tooLong(path, maxAnnotations);
}

function checkOwners({ ownerReferences = [] }: ObjectMeta, problems: Problems): void {
  const path = 'metadata.ownerReferences';
  let controller: string | undefined;
  for (const [at, owner] of ownerReferences.entries()) {
    for (const field of ['apiVersion', 'kind', 'name', 'uid'] as const)
      if (!owner[field])
        problems.invalid(`${path}[${at}].${field}`, owner[field] ?? '', `${field} must not be empty`);
    if (owner.kind === 'Event' && owner.apiVersion === 'v1')
      problems.invalid(
        `${path}[${at}]`,
        owner,
        `${owner.apiVersion}, Kind=Event is disallowed from being an owner`,
      );
    if (owner.controller !== true) continue;
    if (controller !== undefined)
      problems.invalid(
        path,
        ownerReferences,
        `Only one reference can have Controller set to true. Found "true" in references for ${controller} and ${owner.name}`,
      );
    controller = owner.name;
  }
}

/** Checks that metadata which never changes did not. */
export function checkMetaUpdate(
  kind: KindInfo,
  now: ObjectMeta,
  before: ObjectMeta,
  problems: Problems,
): void {
  checkMeta(kind, now, problems);
  for (const field of [
    'name',
    'namespace',
    'uid',
    'creationTimestamp',
    'deletionTimestamp',
    'deletionGracePeriodSeconds',
  ] as const) {
    const value = now[field];
    if (value !== before[field]) problems.invalid(`metadata.${field}`, value ?? '', 'field is immutable');
  }
  if (before.deletionTimestamp === undefined) return;
  const added = (now.finalizers ?? []).filter((each) => !(before.finalizers ?? []).includes(each));
  if (added.length > 0)
    problems.forbidden(
      'metadata.finalizers',
      `no new finalizers can be added if the object is being deleted, found new finalizers ${JSON.stringify(added)}`,
    );
}
