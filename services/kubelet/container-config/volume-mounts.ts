/** The mounts of a container: its volumes and their sub-paths, and the files the kubelet keeps for it. */
import { isAbsolute, join } from 'node:path';
import type { MessageInitShape } from '@bufbuild/protobuf';
import { MountPropagation, type MountSchema } from '#contracts/cri/runtime_pb.ts';
import type { Pod, VolumeMount } from '#contracts/kubernetes/types.ts';
import { SkiffError, wrapError } from '#foundation/base/errors.ts';
import type { AnyContainer, ContainerContext, MountedVolume } from '../ports.ts';
import type { PodPaths } from '../volumes/pod-paths.ts';
import { bindSubPath, validateSubPath } from '../volumes/sub-path.ts';
import { expandAll, lookupIn } from './expansion.ts';

/** A mount of the CRI. */
export type CriMount = MessageInitShape<typeof MountSchema>;

/** What mounts are made from. */
export interface MountsRequest {
  pod: Pod;
  container: AnyContainer;
  context: Pick<ContainerContext, 'mounts' | 'imageVolumes'>;
  paths: PodPaths;
  /** The container's finished environment, for subPathExpr. */
  variables: ReadonlyMap<string, string>;
  /** Whether the runtime's handler can mount recursively read-only. */
  recursiveReadOnly: boolean;
}

/**
 * The mounts of `volumeMounts`, in their order; sub-paths are bound on the way.
 *
 * @throws SkiffError for a volume that is not there, a sub-path that leaves it, or a mode that cannot be had.
 */
export function volumeMounts(request: MountsRequest): CriMount[] {
  return (request.container.volumeMounts ?? []).map((mount, index) => {
    const volume = request.context.mounts.get(mount.name);
    if (volume === undefined)
      throw new SkiffError(
        'NOT_FOUND',
        `cannot find volume "${mount.name}" to mount into container "${request.container.name}"`,
      );
    const image = request.context.imageVolumes.get(mount.name);
    if (image !== undefined) return imageMount(request, mount, image);
    return ordinaryMount(request, mount, volume, index);
  });
}

function ordinaryMount(
  request: MountsRequest,
  mount: VolumeMount,
  volume: MountedVolume,
  index: number,
): CriMount {
  const subPath = subPathOf(mount, request.variables);
  const hostPath = subPath === '' ? volume.hostPath : preparedSubPath(request, mount, volume, index, subPath);
  const readonly = mount.readOnly === true || volume.readOnly;
  return {
    containerPath: absolute(mount.mountPath),
    hostPath,
    readonly,
    recursiveReadOnly: recursiveReadOnly(mount, request.recursiveReadOnly),
    selinuxRelabel: volume.selinuxRelabel === true,
    propagation: propagation(mount.mountPropagation),
  };
}

/** @throws SkiffError that does not say why: the reason could tell a pod's author what the host's files are. */
function preparedSubPath(
  { paths, container }: MountsRequest,
  mount: VolumeMount,
  volume: MountedVolume,
  index: number,
  subPath: string,
): string {
  try {
    return bindSubPath({
      paths,
      volume: mount.name,
      volumeRoot: volume.hostPath,
      container: container.name,
      index,
      subPath,
      create: !volume.readOnly,
    });
  } catch (error) {
    const message = `failed to prepare subPath for volumeMount "${mount.name}" of container "${container.name}"`;
    throw new SkiffError(wrapError(error, message).code, message, { cause: error });
  }
}

function imageMount(
  request: MountsRequest,
  mount: VolumeMount,
  image: { imageRef: string } | { reason: string; message: string },
): CriMount {
  if (!('imageRef' in image))
    throw new SkiffError('FAILED_PRECONDITION', `${image.reason}: ${image.message}`);
  const source =
    request.pod.spec.volumes?.find((volume) => volume.name === mount.name)?.image?.reference ?? '';
  const subPath = subPathOf(mount, request.variables);
  if (subPath !== '') validateSubPath(subPath);
  return {
    containerPath: absolute(mount.mountPath),
    readonly: true,
    image: { image: image.imageRef, userSpecifiedImage: source },
    imageSubPath: subPath,
    propagation: MountPropagation.PROPAGATION_PRIVATE,
  };
}

function subPathOf(mount: VolumeMount, variables: ReadonlyMap<string, string>): string {
  if (mount.subPathExpr === undefined || mount.subPathExpr === '') return mount.subPath ?? '';
  const expanded = expandAll(mount.subPathExpr, lookupIn(variables));
  if ('text' in expanded) return expanded.text;
  throw new SkiffError(
    'INVALID_ARGUMENT',
    `missing value for ${expanded.missing.map((name) => `"${name}"`).join(', ')} in subPathExpr "${mount.subPathExpr}"`,
  );
}

function absolute(path: string): string {
  return isAbsolute(path) ? path : join('/', path);
}

/** core/v1 VolumeMount.recursiveReadOnly: only for read-only mounts without propagation. */
function recursiveReadOnly(mount: VolumeMount, supported: boolean): boolean {
  const mode = mount.recursiveReadOnly ?? 'Disabled';
  if (mode === 'Disabled' || mount.readOnly !== true) return false;
  if (mode === 'IfPossible') return supported && (mount.mountPropagation ?? 'None') === 'None';
  if (!supported)
    throw new SkiffError(
      'FAILED_PRECONDITION',
      `volume mount "${mount.name}" wants recursiveReadOnly: Enabled, which the container runtime does not support`,
    );
  return true;
}

function propagation(mode: string | undefined): MountPropagation {
  if (mode === 'Bidirectional') return MountPropagation.PROPAGATION_BIDIRECTIONAL;
  if (mode === 'HostToContainer') return MountPropagation.PROPAGATION_HOST_TO_CONTAINER;
  return MountPropagation.PROPAGATION_PRIVATE;
}

/** Whether one of the mounts covers `path` exactly, so that the kubelet must not mount its own file there. */
export function covers(container: AnyContainer, path: string): boolean {
  return (container.volumeMounts ?? []).some(
    (mount) => absolute(mount.mountPath).replace(/\/+$/, '') === path,
  );
}
