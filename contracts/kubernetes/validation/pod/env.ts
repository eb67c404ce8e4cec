/** Environment variables and their sources. */
import type { Container, EnvVar, EphemeralContainer, ObjectFieldSelector } from '../../types.ts';
import { dataKeyProblems, dnsSubdomainProblems, envVarNameProblems, labelKeyProblems } from '../names.ts';
import type { Problems } from '../problems.ts';

/** What a field reference in the environment may name. */
const environmentFields = [
  'metadata.name',
  'metadata.namespace',
  'metadata.uid',
  'spec.nodeName',
  'spec.serviceAccountName',
  'status.hostIP',
  'status.hostIPs',
  'status.podIP',
  'status.podIPs',
];
/** And in a volume. */
export const volumeFields = [
  'metadata.annotations',
  'metadata.labels',
  'metadata.name',
  'metadata.namespace',
  'metadata.uid',
];
const resourceFields = [
  'limits.cpu',
  'limits.ephemeral-storage',
  'limits.memory',
  'requests.cpu',
  'requests.ephemeral-storage',
  'requests.memory',
];

/** Checks `env` and `envFrom` of a container. */
export function checkEnvironment(
  container: Container | EphemeralContainer,
  path: string,
  problems: Problems,
): void {
  for (const [at, variable] of (container.env ?? []).entries())
    checkVariable(variable, `${path}.env[${at}]`, problems);
  for (const [at, source] of (container.envFrom ?? []).entries()) {
    const place = `${path}.envFrom[${at}]`;
    if (source.prefix !== undefined && source.prefix !== '')
      problems.invalidAll(`${place}.prefix`, source.prefix, envVarNameProblems(source.prefix));
    const given = (['configMapRef', 'secretRef'] as const).filter((field) => source[field] !== undefined);
    if (given.length === 0)
      problems.invalid(place, source, 'must specify one of: `configMapRef` or `secretRef`');
    if (given.length > 1)
      problems.invalid(place, source, 'may not have more than one field specified at a time');
    for (const field of given) checkName(source[field]?.name, `${place}.${field}.name`, problems);
  }
}

function checkVariable(variable: EnvVar, path: string, problems: Problems): void {
  const { name = '', value = '', valueFrom } = variable;
  if (name === '') problems.required(`${path}.name`);
  else problems.invalidAll(`${path}.name`, name, envVarNameProblems(name));
  if (valueFrom === undefined) return;
  const place = `${path}.valueFrom`;
  const sources = Object.entries(valueFrom).filter(([, source]) => source !== undefined);
  if (sources.length === 0)
    problems.invalid(
      place,
      '',
      'must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`',
    );
  if (value !== '') problems.invalid(place, '', 'may not be specified when `value` is not empty');
  else if (sources.length > 1)
    problems.invalid(place, '', 'may not have more than one field specified at a time');
  const { fieldRef, resourceFieldRef, configMapKeyRef, secretKeyRef, fileKeyRef } = valueFrom;
  if (fieldRef !== undefined) checkFieldRef(fieldRef, environmentFields, `${place}.fieldRef`, problems);
  if (resourceFieldRef !== undefined)
    checkResourceRef(resourceFieldRef.resource, `${place}.resourceFieldRef`, problems);
  for (const [field, key] of [
    ['configMapKeyRef', configMapKeyRef],
    ['secretKeyRef', secretKeyRef],
  ] as const) {
    if (key === undefined) continue;
    checkName(key.name, `${place}.${field}.name`, problems);
    if (!key.key) problems.required(`${place}.${field}.key`);
    else problems.invalidAll(`${place}.${field}.key`, key.key, dataKeyProblems(key.key));
  }
  if (fileKeyRef === undefined) return;
  for (const field of ['key', 'volumeName', 'path'] as const)
    if (!fileKeyRef[field]) problems.required(`${place}.fileKeyRef.${field}`);
}

function checkName(name: string | undefined, path: string, problems: Problems): void {
  if (name === undefined || name === '') problems.required(path);
  else problems.invalidAll(path, name, dnsSubdomainProblems(name));
}

/** Checks a reference to a field of the pod; labels and annotations may be named with a key in brackets. */
export function checkFieldRef(
  ref: ObjectFieldSelector,
  supported: readonly string[],
  path: string,
  problems: Problems,
): void {
  const field = ref.fieldPath ?? '';
  if (ref.apiVersion !== undefined && ref.apiVersion !== '' && ref.apiVersion !== 'v1')
    problems.invalid(`${path}.apiVersion`, ref.apiVersion, 'only v1 is supported');
  if (field === '') {
    problems.required(`${path}.fieldPath`);
    return;
  }
  const subscript = /^(metadata\.(?:labels|annotations))\['([^']*)'\]$/.exec(field);
  if (subscript !== null) {
    problems.invalidAll(`${path}.fieldPath`, field, labelKeyProblems((subscript[2] ?? '').toLowerCase()));
    return;
  }
  if (field.includes('[')) {
    problems.invalid(
      `${path}.fieldPath`,
      field,
      `error converting fieldPath: field label does not support subscript: ${field}`,
    );
    return;
  }
  if (!supported.includes(field)) problems.notSupported(`${path}.fieldPath`, field, supported);
}

/** Checks a reference to a container's resource. */
export function checkResourceRef(resource: string | undefined, path: string, problems: Problems): void {
  if (resource === undefined || resource === '') {
    problems.required(`${path}.resource`);
    return;
  }
  if (/^(limits|requests)\.hugepages-/.test(resource)) return;
  if (!resourceFields.includes(resource)) problems.notSupported(`${path}.resource`, resource, resourceFields);
}
