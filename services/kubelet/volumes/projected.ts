/** projected: several sources in one directory, among them the pod's service account token. */
import type { Pod, ProjectedVolumeSource } from '#contracts/kubernetes/types.ts';
import { SkiffError } from '#foundation/base/errors.ts';
import type { NodeAllocatable } from '../container-config/downward.ts';
import type { PayloadFile } from './atomic-writer.ts';
import { configMapFiles, defaultFileMode, downwardFiles, secretFiles } from './payload.ts';
import type { ObjectSource } from './plugin.ts';

/** Gives service account tokens bound to a pod, cached and renewed in time. */
export interface TokenSource {
  token(pod: Pod, request: { audience?: string; expirationSeconds?: number }): Promise<string>;
}

type Source = NonNullable<ProjectedVolumeSource['sources']>[number];

/** What the sources are read from. */
export interface ProjectedDeps {
  objects: ObjectSource;
  tokens: TokenSource | undefined;
  allocatable: () => NodeAllocatable;
}

/** The files of all sources; a later one wins where two write the same path. */
export async function projectedFiles(
  deps: ProjectedDeps,
  pod: Pod,
  projected: ProjectedVolumeSource,
): Promise<Map<string, PayloadFile>> {
  const mode = projected.defaultMode ?? defaultFileMode;
  const files = new Map<string, PayloadFile>();
  for (const source of projected.sources ?? [])
    for (const [path, file] of await sourceFiles(deps, pod, source, mode)) files.set(path, file);
  return files;
}

async function sourceFiles(
  deps: ProjectedDeps,
  pod: Pod,
  source: Source,
  mode: number,
): Promise<Map<string, PayloadFile>> {
  const namespace = pod.metadata.namespace ?? 'default';
  if (source.configMap !== undefined)
    return configMapFiles(deps.objects, namespace, source.configMap.name ?? '', {
      ...source.configMap,
      mode,
    });
  if (source.secret !== undefined)
    return secretFiles(deps.objects, namespace, source.secret.name ?? '', { ...source.secret, mode });
  if (source.downwardAPI !== undefined)
    return downwardFiles(pod, source.downwardAPI.items ?? [], mode, deps.allocatable());
  if (source.serviceAccountToken !== undefined) return tokenFile(deps, pod, source.serviceAccountToken, mode);
  const kind = Object.keys(source)[0] ?? 'empty';
  throw new SkiffError('UNIMPLEMENTED', `projected source ${kind} is not supported: its feature gate is off`);
}

async function tokenFile(
  deps: ProjectedDeps,
  pod: Pod,
  wanted: NonNullable<Source['serviceAccountToken']>,
  mode: number,
): Promise<Map<string, PayloadFile>> {
  if (deps.tokens === undefined)
    throw new SkiffError(
      'FAILED_PRECONDITION',
      'a service account token needs an API server, and this kubelet runs without one',
    );
  const { audience, expirationSeconds, path } = wanted;
  const token = await deps.tokens.token(pod, { audience, expirationSeconds });
  const uid = commonUser(pod);
  const narrow = uid !== undefined || pod.spec.securityContext?.fsGroup !== undefined;
  return new Map([[path, { content: Buffer.from(token), mode: narrow ? 0o600 : mode, uid }]]);
}

/** The user that all containers run as, if it is stated and the same: the token may then be theirs alone. */
export function commonUser(pod: Pod): number | undefined {
  const all = [
    ...(pod.spec.initContainers ?? []),
    ...pod.spec.containers,
    ...(pod.spec.ephemeralContainers ?? []),
  ];
  const users = all.map(
    (container) => container.securityContext?.runAsUser ?? pod.spec.securityContext?.runAsUser,
  );
  return users.every((user) => user === users[0]) ? users[0] : undefined;
}
