/** Which files a configMap, secret or downwardAPI source gives a volume. */
import type {
  ConfigMap,
  DownwardAPIVolumeFile,
  KeyToPath,
  Pod,
  Secret,
} from '#contracts/kubernetes/types.ts';
import { SkiffError } from '#foundation/base/errors.ts';
import { fileField, type NodeAllocatable, resourceField } from '../container-config/downward.ts';
import type { PayloadFile } from './atomic-writer.ts';
import type { ObjectSource } from './plugin.ts';

/** core/v1: files without a mode of their own get 0644. */
export const defaultFileMode = 0o644;

/** What a source says about keys and their files. */
export interface KeySelection {
  items?: KeyToPath[];
  optional?: boolean;
  /** Permission bits for items without their own. */
  mode: number;
}

/** The files of the configMap `name`. @throws SkiffError NOT_FOUND if it or a key is missing and not optional. */
export async function configMapFiles(
  objects: ObjectSource,
  namespace: string,
  name: string,
  selection: KeySelection,
): Promise<Map<string, PayloadFile>> {
  const found = await objects.configMap(namespace, name);
  if (found === undefined && selection.optional !== true)
    throw new SkiffError('NOT_FOUND', `configmap "${name}" not found`);
  return pick(
    found === undefined ? new Map() : configMapData(found),
    selection,
    (key) => `configmap references non-existent config key: ${key}`,
  );
}

/** The files of the secret `name`; errors as `configMapFiles`. */
export async function secretFiles(
  objects: ObjectSource,
  namespace: string,
  name: string,
  selection: KeySelection,
): Promise<Map<string, PayloadFile>> {
  const found = await objects.secret(namespace, name);
  if (found === undefined && selection.optional !== true)
    throw new SkiffError('NOT_FOUND', `secret "${name}" not found`);
  return pick(
    found === undefined ? new Map() : secretData(found),
    selection,
    (key) => `references non-existent secret key: ${key}`,
  );
}

/** The values of a configMap by key, binary ones too. */
export function configMapData(object: ConfigMap): Map<string, Buffer> {
  const data = new Map<string, Buffer>();
  for (const [key, value] of Object.entries(object.data ?? {})) data.set(key, Buffer.from(value));
  for (const [key, value] of Object.entries(object.binaryData ?? {}))
    data.set(key, Buffer.from(value, 'base64'));
  return data;
}

/** The values of a secret by key; `stringData` counts too, for secrets that never went through an API server. */
export function secretData(object: Secret): Map<string, Buffer> {
  const data = new Map<string, Buffer>();
  for (const [key, value] of Object.entries(object.data ?? {})) data.set(key, Buffer.from(value, 'base64'));
  for (const [key, value] of Object.entries(object.stringData ?? {})) data.set(key, Buffer.from(value));
  return data;
}

function pick(
  data: Map<string, Buffer>,
  selection: KeySelection,
  missing: (key: string) => string,
): Map<string, PayloadFile> {
  const files = new Map<string, PayloadFile>();
  if (selection.items === undefined) {
    for (const [key, content] of data) files.set(key, { content, mode: selection.mode });
    return files;
  }
  for (const item of selection.items) {
    const content = data.get(item.key);
    if (content !== undefined) files.set(item.path, { content, mode: item.mode ?? selection.mode });
    else if (selection.optional !== true) throw new SkiffError('NOT_FOUND', missing(item.key));
  }
  return files;
}

/** The files of a downwardAPI source. @throws SkiffError INVALID_ARGUMENT for a field that volumes do not offer. */
export function downwardFiles(
  pod: Pod,
  items: readonly DownwardAPIVolumeFile[],
  mode: number,
  allocatable: NodeAllocatable,
): Map<string, PayloadFile> {
  const files = new Map<string, PayloadFile>();
  for (const item of items) {
    const text =
      item.fieldRef !== undefined
        ? fileField(pod, item.fieldRef)
        : item.resourceFieldRef !== undefined
          ? resourceField(pod, undefined, item.resourceFieldRef, allocatable)
          : '';
    files.set(item.path, { content: Buffer.from(text), mode: item.mode ?? mode });
  }
  return files;
}
