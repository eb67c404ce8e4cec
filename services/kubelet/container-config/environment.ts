/**
 * The environment of a container: envFrom, then env in order, then the services' variables for names not yet
 * taken. Values may refer to earlier variables with `$(NAME)`.
 */
import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import type { EnvFromSource, EnvVar, Pod, Service } from '#contracts/kubernetes/types.ts';
import { isSkiffError, SkiffError } from '#foundation/base/errors.ts';
import { holdBeneath } from '#foundation/linux/beneath.ts';
import type { AnyContainer, Mounts } from '../ports.ts';
import { configMapData, secretData } from '../volumes/payload.ts';
import type { ObjectSource } from '../volumes/plugin.ts';
import { environmentField, type NodeAllocatable, type PodAddresses, resourceField } from './downward.ts';
import { maxEnvFileBytes, parseEnvFile } from './env-file.ts';
import { expand, lookupIn } from './expansion.ts';
import { serviceVariables } from './service-env.ts';

/** What an environment is made from. */
export interface EnvironmentDeps {
  objects: ObjectSource;
  services: () => readonly Service[];
  allocatable: () => NodeAllocatable;
}

/** What is known of the pod when the container is made. */
export interface EnvironmentContext extends PodAddresses {
  mounts: Mounts;
}

/**
 * Builds the environment.
 *
 * @returns the variables, and the envFrom keys that were left out because they cannot be names of variables.
 * @throws SkiffError NOT_FOUND for a configMap, secret, file or key that is missing and not optional.
 */
export async function environmentOf(
  deps: EnvironmentDeps,
  pod: Pod,
  container: AnyContainer,
  context: EnvironmentContext,
): Promise<{ variables: Map<string, string>; invalidKeys: string[] }> {
  const namespace = pod.metadata.namespace ?? 'default';
  const links = pod.spec.enableServiceLinks ?? true;
  const services = serviceVariables(deps.services(), namespace, links);
  const variables = new Map<string, string>();
  const invalidKeys: string[] = [];
  for (const source of container.envFrom ?? [])
    for (const [key, value] of await bulkValues(deps.objects, namespace, source)) {
      const name = `${source.prefix ?? ''}${key}`;
      if (isVariableName(name)) variables.set(name, value);
      else invalidKeys.push(name);
    }
  const lookup = (name: string) => variables.get(name) ?? services.get(name);
  for (const variable of container.env ?? []) {
    const value =
      variable.valueFrom === undefined
        ? expand(variable.value ?? '', lookup)
        : await referredValue(deps, pod, container, variable, context);
    if (value !== undefined) variables.set(variable.name, value);
  }
  for (const [name, value] of services) if (!variables.has(name)) variables.set(name, value);
  return { variables, invalidKeys };
}

/** Printable ASCII without `=`: what the kernel and every libc carry unharmed. */
function isVariableName(name: string): boolean {
  return /^[ -<>-~]+$/.test(name);
}

async function bulkValues(
  objects: ObjectSource,
  namespace: string,
  source: EnvFromSource,
): Promise<[string, string][]> {
  if (source.configMapRef !== undefined) {
    const { name = '', optional } = source.configMapRef;
    const found = await objects.configMap(namespace, name);
    if (found === undefined && optional !== true)
      throw new SkiffError('NOT_FOUND', `configmap "${name}" not found`);
    return Object.entries(found?.data ?? {});
  }
  if (source.secretRef !== undefined) {
    const { name = '', optional } = source.secretRef;
    const found = await objects.secret(namespace, name);
    if (found === undefined && optional !== true)
      throw new SkiffError('NOT_FOUND', `secret "${name}" not found`);
    return found === undefined ? [] : [...secretData(found)].map(([key, value]) => [key, value.toString()]);
  }
  return [];
}

async function referredValue(
  deps: EnvironmentDeps,
  pod: Pod,
  container: AnyContainer,
  variable: EnvVar,
  context: EnvironmentContext,
): Promise<string | undefined> {
  const namespace = pod.metadata.namespace ?? 'default';
  const from = variable.valueFrom ?? {};
  if (from.fieldRef !== undefined) return environmentField(pod, from.fieldRef, context);
  if (from.resourceFieldRef !== undefined)
    return resourceField(pod, container, from.resourceFieldRef, deps.allocatable());
  if (from.configMapKeyRef !== undefined) {
    const { name = '', key, optional } = from.configMapKeyRef;
    const found = await deps.objects.configMap(namespace, name);
    return keyOf({ kind: 'ConfigMap', namespace, name, key, optional }, found && configMapData(found));
  }
  if (from.secretKeyRef !== undefined) {
    const { name = '', key, optional } = from.secretKeyRef;
    const found = await deps.objects.secret(namespace, name);
    return keyOf({ kind: 'Secret', namespace, name, key, optional }, found && secretData(found));
  }
  if (from.fileKeyRef !== undefined) return fileValue(from.fileKeyRef, context.mounts);
  throw new SkiffError('INVALID_ARGUMENT', `environment variable "${variable.name}" has an empty valueFrom`);
}

interface KeyReference {
  kind: string;
  namespace: string;
  name: string;
  key: string;
  optional?: boolean;
}

function keyOf(reference: KeyReference, data: Map<string, Buffer> | undefined): string | undefined {
  const value = data?.get(reference.key);
  if (value !== undefined) return value.toString();
  if (reference.optional === true) return undefined;
  const { kind, namespace, name, key } = reference;
  if (data === undefined) throw new SkiffError('NOT_FOUND', `${kind.toLowerCase()} "${name}" not found`);
  throw new SkiffError('NOT_FOUND', `couldn't find key ${key} in ${kind} ${namespace}/${name}`);
}

type FileKey = NonNullable<NonNullable<EnvVar['valueFrom']>['fileKeyRef']>;

async function fileValue(reference: FileKey, mounts: Mounts): Promise<string | undefined> {
  const { volumeName, path, key, optional } = reference;
  const volume = mounts.get(volumeName);
  if (volume === undefined)
    throw new SkiffError('NOT_FOUND', `cannot find the volume "${volumeName}" of a fileKeyRef`);
  let value: string | undefined;
  try {
    value = parseEnvFile(await readSmall(volume.hostPath, path)).get(key);
  } catch (error) {
    if (!isSkiffError(error, 'NOT_FOUND') || optional !== true) throw error;
  }
  if (value !== undefined || optional === true) return value;
  throw new SkiffError('NOT_FOUND', `environment variable key "${key}" not found in file "${path}"`);
}

/** The file was written by a container: it may be a link out, a pipe, or endless. */
async function readSmall(root: string, path: string): Promise<string> {
  using held = holdBeneath(root, path);
  await using file = await open(held.path, constants.O_RDONLY | constants.O_NONBLOCK);
  const status = await file.stat();
  if (!status.isFile() || status.size > maxEnvFileBytes)
    throw new SkiffError(
      'INVALID_ARGUMENT',
      `"${path}" must be a regular file of at most ${maxEnvFileBytes} bytes`,
    );
  return (await file.readFile()).toString();
}

/** Expands a command or its arguments with a finished environment. */
export function expandWords(words: readonly string[], variables: ReadonlyMap<string, string>): string[] {
  return words.map((word) => expand(word, lookupIn(variables)));
}
