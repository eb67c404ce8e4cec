/** Volumes: names, exactly one source each, and what a source must have. */

import { quantity } from '../../quantity.ts';
import type { KeyToPath, PodSpec, ProjectedVolumeSource, Volume } from '../../types.ts';
import { dnsLabelProblems } from '../names.ts';
import { checkOneOf, type Problems } from '../problems.ts';
import { checkFieldRef, checkResourceRef, volumeFields } from './env.ts';
import { backstep, checkLocalPath } from './mounts.ts';

/** Types of host paths; the empty one checks nothing. */
const hostPathTypes = [
  '',
  'BlockDevice',
  'CharDevice',
  'Directory',
  'DirectoryOrCreate',
  'File',
  'FileOrCreate',
  'Socket',
];

/** Checks a pod's volumes. */
export function checkVolumes(spec: PodSpec, problems: Problems): void {
  const names = new Set<string>();
  for (const [at, volume] of (spec.volumes ?? []).entries()) {
    const path = `spec.volumes[${at}]`;
    if (!volume.name) problems.required(`${path}.name`);
    else problems.invalidAll(`${path}.name`, volume.name, dnsLabelProblems(volume.name));
    if (volume.name && names.has(volume.name)) problems.duplicate(`${path}.name`, volume.name);
    names.add(volume.name);
    checkSource(volume, path, problems);
  }
}

function checkSource(volume: Volume, path: string, problems: Problems): void {
  const sources = Object.entries(volume).filter(([key, value]) => key !== 'name' && value !== undefined);
  for (const [source] of sources.slice(1))
    problems.forbidden(`${path}.${source}`, 'may not specify more than 1 volume type');
  if (sources.length === 0) problems.required(path, 'must specify a volume type');
  const { emptyDir, hostPath, secret, configMap, downwardAPI, projected } = volume;
  if (emptyDir?.sizeLimit !== undefined && quantity(emptyDir.sizeLimit).nanos < 0n)
    problems.forbidden(`${path}.emptyDir.sizeLimit`, 'SizeLimit field must be a valid resource quantity');
  if (hostPath !== undefined) checkHostPath(hostPath, `${path}.hostPath`, problems);
  if (secret !== undefined) {
    if (!secret.secretName) problems.required(`${path}.secret.secretName`);
    checkFiles(secret.items, secret.defaultMode, `${path}.secret`, problems);
  }
  if (configMap !== undefined) {
    if (!configMap.name) problems.required(`${path}.configMap.name`);
    checkFiles(configMap.items, configMap.defaultMode, `${path}.configMap`, problems);
  }
  if (downwardAPI !== undefined) checkDownward(downwardAPI, `${path}.downwardAPI`, problems);
  if (projected !== undefined) checkProjected(projected, `${path}.projected`, problems);
  checkOthers(volume, path, problems);
}

function checkHostPath(
  { path: host, type }: { path: string; type?: string },
  path: string,
  problems: Problems,
): void {
  if (!host) problems.required(`${path}.path`);
  else {
    const step = backstep(host);
    if (step !== undefined) problems.invalid(`${path}.path`, host, step);
  }
  if (type !== undefined && !hostPathTypes.includes(type))
    problems.notSupported(`${path}.type`, type, hostPathTypes.slice(1));
}

function checkMode(mode: number | undefined, path: string, problems: Problems): void {
  if (mode !== undefined && (mode < 0 || mode > 0o777))
    problems.invalid(path, mode, 'must be a number between 0 and 0777 (octal), both inclusive');
}

function checkFiles(
  items: KeyToPath[] | undefined,
  mode: number | undefined,
  path: string,
  problems: Problems,
): void {
  checkMode(mode, `${path}.defaultMode`, problems);
  for (const [at, item] of (items ?? []).entries()) {
    const place = `${path}.items[${at}]`;
    if (!item.key) problems.required(`${place}.key`);
    checkItemPath(item.path, `${place}.path`, problems);
    checkMode(item.mode, `${place}.mode`, problems);
  }
}

function checkItemPath(value: string | undefined, path: string, problems: Problems): void {
  if (!value) {
    problems.required(path);
    return;
  }
  checkLocalPath(value, path, problems);
  if (value.startsWith('..') && !value.startsWith('../'))
    problems.invalid(path, value, "must not start with '..'");
}

function checkDownward(source: NonNullable<Volume['downwardAPI']>, path: string, problems: Problems): void {
  checkMode(source.defaultMode, `${path}.defaultMode`, problems);
  for (const [at, item] of (source.items ?? []).entries()) {
    const place = `${path}.items[${at}]`;
    checkItemPath(item.path, `${place}.path`, problems);
    checkMode(item.mode, `${place}.mode`, problems);
    if (item.fieldRef !== undefined) {
      checkFieldRef(item.fieldRef, volumeFields, `${place}.fieldRef`, problems);
      if (item.resourceFieldRef !== undefined)
        problems.invalid(
          place,
          'resource',
          'fieldRef and resourceFieldRef can not be specified simultaneously',
        );
    } else if (item.resourceFieldRef !== undefined) {
      if (!item.resourceFieldRef.containerName) problems.required(`${place}.resourceFieldRef.containerName`);
      else checkResourceRef(item.resourceFieldRef.resource, `${place}.resourceFieldRef`, problems);
    } else problems.required(`${place}.fieldRef`, 'one of fieldRef and resourceFieldRef is required');
  }
}

function checkProjected(source: ProjectedVolumeSource, path: string, problems: Problems): void {
  checkMode(source.defaultMode, `${path}.defaultMode`, problems);
  for (const [at, each] of (source.sources ?? []).entries()) {
    const place = `${path}.sources[${at}]`;
    const given = Object.entries(each).filter(([, value]) => value !== undefined);
    for (const [sort] of given.slice(1))
      problems.forbidden(`${place}.${sort}`, 'may not specify more than 1 volume type');
    const { secret, configMap, downwardAPI, serviceAccountToken } = each;
    for (const [sort, named] of [
      ['secret', secret],
      ['configMap', configMap],
    ] as const) {
      if (named === undefined) continue;
      if (!named.name) problems.required(`${place}.${sort}.name`);
      checkFiles(named.items, undefined, `${place}.${sort}`, problems);
    }
    if (downwardAPI !== undefined) checkDownward(downwardAPI, `${place}.downwardAPI`, problems);
    if (serviceAccountToken !== undefined)
      checkToken(serviceAccountToken, `${place}.serviceAccountToken`, problems);
  }
}

function checkToken(
  token: { expirationSeconds?: number; path: string },
  path: string,
  problems: Problems,
): void {
  const seconds = token.expirationSeconds ?? 3600;
  if (seconds < 600)
    problems.invalid(`${path}.expirationSeconds`, seconds, 'may not specify a duration less than 10 minutes');
  if (seconds > 2 ** 32)
    problems.invalid(
      `${path}.expirationSeconds`,
      seconds,
      'may not specify a duration larger than 2^32 seconds',
    );
  if (!token.path) problems.required(`${path}.path`);
  else checkLocalPath(token.path, `${path}.path`, problems);
}

function checkOthers(
  { nfs, persistentVolumeClaim, csi, image, ephemeral }: Volume,
  path: string,
  problems: Problems,
): void {
  if (nfs !== undefined) {
    if (!nfs.server) problems.required(`${path}.nfs.server`);
    if (!nfs.path) problems.required(`${path}.nfs.path`);
    else if (!nfs.path.startsWith('/'))
      problems.invalid(`${path}.nfs.path`, nfs.path, 'must be an absolute path');
  }
  if (persistentVolumeClaim !== undefined && !persistentVolumeClaim.claimName)
    problems.required(`${path}.persistentVolumeClaim.claimName`);
  if (csi !== undefined && !csi.driver) problems.required(`${path}.csi.driver`);
  if (image !== undefined) {
    if (!image.reference) problems.required(`${path}.image.reference`);
    checkOneOf(problems, `${path}.image.pullPolicy`, image.pullPolicy, ['Always', 'IfNotPresent', 'Never']);
  }
  if (ephemeral !== undefined && ephemeral.volumeClaimTemplate === undefined)
    problems.required(`${path}.ephemeral.volumeClaimTemplate`);
}
