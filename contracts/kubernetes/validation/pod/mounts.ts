/** Volume mounts and devices of a container. */
import type { Container, EphemeralContainer, PodSpec, VolumeMount } from '../../types.ts';
import { checkOneOf, type Problems } from '../problems.ts';

/** Why a path could leave its volume; undefined if it cannot. */
export function backstep(path: string): string | undefined {
  return path.split('/').includes('..') ? "must not contain '..'" : undefined;
}

/** Checks a path that must stay below its volume. */
export function checkLocalPath(path: string, field: string, problems: Problems): void {
  if (path.startsWith('/')) problems.invalid(field, path, 'must be a relative path');
  const step = backstep(path);
  if (step !== undefined) problems.invalid(field, path, step);
}

/** Checks `volumeMounts`. */
export function checkMounts(
  container: Container | EphemeralContainer,
  path: string,
  spec: PodSpec,
  problems: Problems,
): void {
  const places = new Set<string>();
  for (const [at, mount] of (container.volumeMounts ?? []).entries()) {
    const place = `${path}.volumeMounts[${at}]`;
    checkMount(mount, place, container, spec, problems);
    if (mount.mountPath && places.has(mount.mountPath))
      problems.invalid(`${place}.mountPath`, mount.mountPath, 'must be unique');
    places.add(mount.mountPath ?? '');
  }
}

function checkMount(
  mount: VolumeMount,
  path: string,
  container: Container | EphemeralContainer,
  spec: PodSpec,
  problems: Problems,
): void {
  const volume = spec.volumes?.find((each) => each.name === mount.name);
  if (!mount.name) problems.required(`${path}.name`);
  else if (volume === undefined) problems.notFound(`${path}.name`, mount.name);
  if (!mount.mountPath) problems.required(`${path}.mountPath`);
  if (mount.subPath) checkLocalPath(mount.subPath, `${path}.subPath`, problems);
  if (mount.subPathExpr) {
    if (mount.subPath)
      problems.invalid(
        `${path}.subPathExpr`,
        mount.subPathExpr,
        'subPathExpr and subPath are mutually exclusive',
      );
    checkLocalPath(mount.subPathExpr, `${path}.subPathExpr`, problems);
  }
  if (mount.mountPropagation !== undefined) {
    checkOneOf(problems, `${path}.mountPropagation`, mount.mountPropagation, [
      'Bidirectional',
      'HostToContainer',
      'None',
    ]);
    if (mount.mountPropagation === 'Bidirectional' && container.securityContext?.privileged !== true)
      problems.forbidden(
        `${path}.mountPropagation`,
        'Bidirectional mount propagation is available only to privileged containers',
      );
  }
  checkRecursiveReadOnly(mount, path, problems);
}

function checkRecursiveReadOnly(mount: VolumeMount, path: string, problems: Problems): void {
  const value = mount.recursiveReadOnly;
  if (value === undefined) return;
  checkOneOf(problems, `${path}.recursiveReadOnly`, value, ['Disabled', 'Enabled', 'IfPossible']);
  if (value === 'Disabled') return;
  if (mount.readOnly !== true)
    problems.forbidden(`${path}.recursiveReadOnly`, 'may only be specified when readOnly is true');
  if (mount.mountPropagation !== undefined && mount.mountPropagation !== 'None')
    problems.forbidden(
      `${path}.recursiveReadOnly`,
      'may only be specified when mountPropagation is None or not specified',
    );
}

/** Checks `volumeDevices`. */
export function checkDevices(
  container: Container | EphemeralContainer,
  path: string,
  spec: PodSpec,
  problems: Problems,
): void {
  const paths = new Set(container.volumeMounts?.map((mount) => mount.mountPath));
  for (const [at, device] of (container.volumeDevices ?? []).entries()) {
    const place = `${path}.volumeDevices[${at}]`;
    const volume = spec.volumes?.find((each) => each.name === device.name);
    if (!device.name) problems.required(`${place}.name`);
    else if (volume === undefined) problems.notFound(`${place}.name`, device.name);
    else if (volume.persistentVolumeClaim === undefined && volume.ephemeral === undefined)
      problems.invalid(
        `${place}.name`,
        device.name,
        'can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode',
      );
    if (!device.devicePath) problems.required(`${place}.devicePath`);
    else if (paths.has(device.devicePath))
      problems.invalid(
        `${place}.devicePath`,
        device.devicePath,
        'must not already exist as a path in volumeMounts',
      );
    if (device.devicePath) {
      const step = backstep(device.devicePath);
      if (step !== undefined) problems.invalid(`${place}.devicePath`, device.devicePath, step);
    }
  }
}
