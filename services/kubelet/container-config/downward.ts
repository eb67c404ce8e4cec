/**
 * The downward API: what a pod may learn of itself, in environment variables and files
 * (core/v1 ObjectFieldSelector and ResourceFieldSelector).
 */
import type {
  Container,
  ObjectFieldSelector,
  Pod,
  ResourceFieldSelector,
} from '#contracts/kubernetes/types.ts';
import { SkiffError } from '#foundation/base/errors.ts';
import { amountOf, milliCpuOf } from '../resources/amounts.ts';

/** What the node offers pods, for limits that a container leaves out. */
export interface NodeAllocatable {
  /** Thousandths of a CPU. */
  milliCpu: number;
  /** Bytes. */
  memory: number;
  /** Bytes. */
  ephemeralStorage: number;
}

/** Addresses of pod and node as they are now; empty while unknown. */
export interface PodAddresses {
  podIps: readonly string[];
  hostIps: readonly string[];
}

/** `metadata.labels['key']`; the key may hold what label keys hold. */
const subscript = /^metadata\.(labels|annotations)\['([^']+)'\]$/;

/**
 * The value of a field of the pod itself, where files and environment agree.
 *
 * @returns undefined if `fieldPath` is not one of the fields offered everywhere.
 */
function commonField(pod: Pod, fieldPath: string): string | undefined {
  const found = subscript.exec(fieldPath);
  if (found !== null) {
    const map = found[1] === 'labels' ? pod.metadata.labels : pod.metadata.annotations;
    return map?.[found[2] ?? ''] ?? '';
  }
  if (fieldPath === 'metadata.name') return pod.metadata.name;
  if (fieldPath === 'metadata.namespace') return pod.metadata.namespace ?? '';
  if (fieldPath === 'metadata.uid') return pod.metadata.uid ?? '';
  return undefined;
}

/**
 * The value of `valueFrom.fieldRef` in an environment variable.
 *
 * @throws SkiffError INVALID_ARGUMENT for a field that the environment does not offer.
 */
export function environmentField(pod: Pod, selector: ObjectFieldSelector, addresses: PodAddresses): string {
  const common = commonField(pod, selector.fieldPath);
  if (common !== undefined) return common;
  const rest: Record<string, () => string> = {
    'spec.nodeName': () => pod.spec.nodeName ?? '',
    'spec.serviceAccountName': () => pod.spec.serviceAccountName ?? '',
    'status.hostIP': () => addresses.hostIps[0] ?? '',
    'status.hostIPs': () => addresses.hostIps.join(','),
    'status.podIP': () => addresses.podIps[0] ?? '',
    'status.podIPs': () => addresses.podIps.join(','),
  };
  const value = rest[selector.fieldPath];
  if (value !== undefined) return value();
  throw unsupported(selector.fieldPath, 'an environment variable');
}

/**
 * The content of a file for `fieldRef` in a downwardAPI volume.
 *
 * @throws SkiffError INVALID_ARGUMENT for a field that volumes do not offer.
 */
export function fileField(pod: Pod, selector: ObjectFieldSelector): string {
  const common = commonField(pod, selector.fieldPath);
  if (common !== undefined) return common;
  if (selector.fieldPath === 'metadata.labels') return formatMap(pod.metadata.labels);
  if (selector.fieldPath === 'metadata.annotations') return formatMap(pod.metadata.annotations);
  throw unsupported(selector.fieldPath, 'a volume');
}

function unsupported(fieldPath: string, where: string): SkiffError {
  return new SkiffError(
    'INVALID_ARGUMENT',
    `unsupported fieldPath: ${fieldPath} cannot be given to ${where}`,
  );
}

/** Sorted lines `key="value"`, the value quoted as Go's %q does. */
export function formatMap(map: Record<string, string> | undefined): string {
  const entries = Object.entries(map ?? {}).sort(([a], [b]) => (a < b ? -1 : 1));
  return entries.map(([key, value]) => `${key}=${quote(value)}`).join('\n');
}

const shortEscapes: Record<string, string> = {
  '"': '\\"',
  '\\': '\\\\',
  '\x07': '\\a',
  '\b': '\\b',
  '\f': '\\f',
  '\n': '\\n',
  '\r': '\\r',
  '\t': '\\t',
  '\v': '\\v',
};

/** A Go string literal: printable characters as they are, all else escaped. */
export function quote(text: string): string {
  const inner = text.replace(/["\\]|[^\p{L}\p{M}\p{N}\p{P}\p{S} ]/gu, (character) => {
    const short = shortEscapes[character];
    if (short !== undefined) return short;
    const point = character.codePointAt(0) ?? 0;
    if (point < 0x80) return `\\x${point.toString(16).padStart(2, '0')}`;
    if (point < 0x10000) return `\\u${point.toString(16).padStart(4, '0')}`;
    return `\\U${point.toString(16).padStart(8, '0')}`;
  });
  return `"${inner}"`;
}

/**
 * The value of a `resourceFieldRef`: the request or limit of a container in units of the divisor, rounded up.
 *
 * @param container the container it stands in; undefined in volumes, where the selector names it.
 * @throws SkiffError INVALID_ARGUMENT for an unknown container or resource.
 */
export function resourceField(
  pod: Pod,
  container: Pick<Container, 'resources'> | undefined,
  selector: ResourceFieldSelector,
  allocatable: NodeAllocatable,
): string {
  const subject =
    selector.containerName === undefined ? container : containerNamed(pod, selector.containerName);
  if (subject === undefined)
    throw new SkiffError(
      'INVALID_ARGUMENT',
      `resourceFieldRef ${selector.resource} needs a containerName in a volume`,
    );
  const [side, resource = ''] = splitOnce(selector.resource, '.');
  if (side !== 'limits' && side !== 'requests') throw unknownResource(selector.resource);
  const isCpu = resource === 'cpu';
  const units = isCpu ? milliCpuOf : amountOf;
  const stated = subject.resources?.[side]?.[resource];
  const value = stated === undefined ? 0 : units(stated);
  const known = value > 0 ? value : fallback(side, resource, allocatable, selector.resource);
  const divisor = selector.divisor === undefined || amountOf(selector.divisor) === 0 ? '1' : selector.divisor;
  return String(Math.ceil(known / units(divisor)));
}

function fallback(side: string, resource: string, allocatable: NodeAllocatable, whole: string): number {
  const node: Record<string, number> = {
    cpu: allocatable.milliCpu,
    memory: allocatable.memory,
    'ephemeral-storage': allocatable.ephemeralStorage,
  };
  const amount = node[resource];
  if (amount === undefined && !resource.startsWith('hugepages-')) throw unknownResource(whole);
  return side === 'limits' ? (amount ?? 0) : 0;
}

function unknownResource(resource: string): SkiffError {
  return new SkiffError('INVALID_ARGUMENT', `unsupported container resource: ${resource}`);
}

function containerNamed(pod: Pod, name: string): Pick<Container, 'resources'> {
  const all = [...pod.spec.containers, ...(pod.spec.initContainers ?? [])];
  const found = all.find((container) => container.name === name);
  if (found !== undefined) return found;
  throw new SkiffError('INVALID_ARGUMENT', `container "${name}" of a resourceFieldRef is not in the pod`);
}

function splitOnce(text: string, separator: string): [string, string?] {
  const at = text.indexOf(separator);
  return at < 0 ? [text] : [text.slice(0, at), text.slice(at + 1)];
}
