/**
 * Volumes whose files come from the API or from the pod itself: configMap, secret, downwardAPI, projected.
 * They are read-only for containers and follow their sources while the pod runs.
 */
import { mkdirSync } from 'node:fs';
import type { Pod, Volume } from '#contracts/kubernetes/types.ts';
import type { NodeAllocatable } from '../container-config/downward.ts';
import { type Payload, type PayloadFile, writePayload } from './atomic-writer.ts';
import { setOwnership } from './ownership.ts';
import { configMapFiles, defaultFileMode, downwardFiles, secretFiles } from './payload.ts';
import type { ObjectSource, VolumePlugin, VolumeRequest } from './plugin.ts';
import { projectedFiles, type TokenSource } from './projected.ts';
import { ensureTmpfs } from './tmpfs.ts';

/** What content volumes need. */
export interface ContentDeps {
  objects: ObjectSource;
  /** Undefined without an API server: tokens are then refused. */
  tokens: TokenSource | undefined;
  allocatable: () => NodeAllocatable;
}

/** The four plugins. */
export function contentPlugins(deps: ContentDeps): VolumePlugin[] {
  return [
    contentPlugin(
      'configmap',
      'disk',
      (volume) => volume.configMap !== undefined,
      (pod, volume) =>
        configMapFiles(deps.objects, namespaceOf(pod), volume.configMap?.name ?? '', {
          ...volume.configMap,
          mode: volume.configMap?.defaultMode ?? defaultFileMode,
        }),
    ),
    contentPlugin(
      'secret',
      'memory',
      (volume) => volume.secret !== undefined,
      (pod, volume) =>
        secretFiles(deps.objects, namespaceOf(pod), volume.secret?.secretName ?? '', {
          ...volume.secret,
          mode: volume.secret?.defaultMode ?? defaultFileMode,
        }),
    ),
    contentPlugin(
      'downward-api',
      'memory',
      (volume) => volume.downwardAPI !== undefined,
      async (pod, volume) =>
        downwardFiles(
          pod,
          volume.downwardAPI?.items ?? [],
          volume.downwardAPI?.defaultMode ?? defaultFileMode,
          deps.allocatable(),
        ),
    ),
    contentPlugin(
      'projected',
      'memory',
      (volume) => volume.projected !== undefined,
      (pod, volume) => projectedFiles(deps, pod, volume.projected ?? {}),
    ),
  ];
}

function contentPlugin(
  name: string,
  place: 'disk' | 'memory',
  handles: (volume: Volume) => boolean,
  files: (pod: Pod, volume: Volume) => Promise<Map<string, PayloadFile>>,
): VolumePlugin {
  return {
    name,
    handles,
    refreshes: true,
    async mount(request) {
      // Fetched first: a volume whose source is missing leaves no directory behind.
      const payload = await files(request.pod, request.volume);
      if (place === 'memory') ensureTmpfs(request.directory, undefined);
      else mkdirSync(request.directory, { recursive: true });
      write(request, payload);
      return { hostPath: request.directory, readOnly: true };
    },
  };
}

function write({ pod, directory }: VolumeRequest, payload: Payload): void {
  const group = pod.spec.securityContext?.fsGroup;
  writePayload(directory, payload, (fresh) => {
    if (group !== undefined) setOwnership(fresh, { group, readOnly: true });
  });
}

/** The namespace of a pod; `default` where a manifest left it out. */
export function namespaceOf(pod: Pod): string {
  return pod.metadata.namespace ?? 'default';
}
