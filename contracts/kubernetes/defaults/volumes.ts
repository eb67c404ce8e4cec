/** Volume defaults: file modes, host path types, and emptyDir for a volume that names no source. */
import type { DownwardAPIVolumeFile, HostPathVolumeSource, ProjectedVolumeSource, Volume } from '../types.ts';
import { pullPolicyFor } from './container.ts';

/** Mode of files in configMap, secret, downwardAPI and projected volumes: rw-r--r--. */
const fileMode = 0o644;
/** Seconds a projected token lives. */
const tokenSeconds = 3600;

/** Fills in a volume. */
export function defaultVolume(volume: Volume): void {
  const { name: _name, ...sources } = volume;
  if (Object.values(sources).every((source) => source === undefined)) volume.emptyDir = {};
  if (volume.secret !== undefined) volume.secret.defaultMode ??= fileMode;
  if (volume.configMap !== undefined) volume.configMap.defaultMode ??= fileMode;
  if (volume.hostPath !== undefined) defaultHostPath(volume.hostPath);
  if (volume.image !== undefined) volume.image.pullPolicy ??= pullPolicyFor(volume.image.reference ?? '');
  if (volume.downwardAPI !== undefined) {
    volume.downwardAPI.defaultMode ??= fileMode;
    defaultItems(volume.downwardAPI.items);
  }
  if (volume.projected !== undefined) defaultProjected(volume.projected);
  const claim = volume.ephemeral?.volumeClaimTemplate?.spec;
  if (claim !== undefined) claim.volumeMode ??= 'Filesystem';
}

/** The empty type means that nothing is checked. */
export function defaultHostPath(source: HostPathVolumeSource): void {
  source.type ??= '';
}

function defaultProjected(source: ProjectedVolumeSource): void {
  source.defaultMode ??= fileMode;
  for (const { serviceAccountToken, downwardAPI } of source.sources ?? []) {
    if (serviceAccountToken !== undefined) serviceAccountToken.expirationSeconds ??= tokenSeconds;
    defaultItems(downwardAPI?.items);
  }
}

function defaultItems(items: readonly DownwardAPIVolumeFile[] | undefined): void {
  for (const { fieldRef, resourceFieldRef } of items ?? []) {
    if (fieldRef !== undefined) fieldRef.apiVersion ??= 'v1';
    if (resourceFieldRef !== undefined) resourceFieldRef.divisor ??= '0';
  }
}
