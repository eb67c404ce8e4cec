/**
 * A container's mounts: what every container has, what the sandbox gives, and what the request asks for. A
 * requested mount takes the place of a given one at the same path; shallow paths come first, so that none
 * hides another.
 */
import { chownSync, mkdirSync, realpathSync } from 'node:fs';
import { isAbsolute, posix } from 'node:path';
import { type Mount, MountPropagation } from '#contracts/cri/runtime_pb.ts';
import type { SpecMount } from '#contracts/oci/runtime.ts';
import { makeDirectories } from '#foundation/base/directories.ts';
import { errnoOf, SkiffError, wrapError } from '#foundation/base/errors.ts';
import { imageVolumeMount } from './image-volume.ts';
import type { SpecInput } from './input.ts';
import { idMapOf, isMappingOfPod, specMappings } from './namespaces.ts';
import { requirePropagation } from './propagation.ts';

/** All mounts of config.json, in the order in which the runtime makes them. */
export function mountsOf(input: SpecInput): SpecMount[] {
  const requested = input.config.mounts.map((mount, index) => requestedMount(input, mount, index));
  const taken = new Set(requested.map((mount) => mount.destination));
  const replacesDev = taken.has('/dev');
  const given = [...systemMounts(input), ...sandboxMounts(input)].filter(
    ({ destination }) => !taken.has(destination) && !(replacesDev && destination.startsWith('/dev/')),
  );
  const all = [...given, ...volumeMounts(input, taken), ...requested];
  return all
    .map((mount, index) => ({ mount, index, depth: depthOf(mount.destination) }))
    .sort((a, b) => a.depth - b.depth || a.index - b.index)
    .map(({ mount }) => mount);
}

function depthOf(path: string): number {
  return path === '/' ? 0 : path.split('/').length - 1;
}

/** What programs expect of any Linux. */
function systemMounts({ config, host, sandbox }: SpecInput): SpecMount[] {
  const privileged = config.linux?.securityContext?.privileged === true;
  const readonly = privileged ? 'rw' : 'ro';
  // sysfs can be mounted by the owner of the network namespace only; with the host's and a user namespace it is bound.
  const bindSys = sandbox.namespaces.user !== undefined && sandbox.namespaces.network === undefined;
  const guarded = ['nosuid', 'noexec', 'nodev'];
  return [
    { destination: '/proc', type: 'proc', source: 'proc', options: guarded },
    {
      destination: '/dev',
      type: 'tmpfs',
      source: 'tmpfs',
      options: ['nosuid', 'strictatime', 'mode=755', 'size=65536k'],
    },
    {
      destination: '/dev/pts',
      type: 'devpts',
      source: 'devpts',
      options: ['nosuid', 'noexec', 'newinstance', 'ptmxmode=0666', 'mode=0620', 'gid=5'],
    },
    { destination: '/dev/mqueue', type: 'mqueue', source: 'mqueue', options: guarded },
    bindSys
      ? {
          destination: '/sys',
          type: 'bind',
          source: '/sys',
          options: ['rbind', 'rslave', ...guarded, readonly],
        }
      : { destination: '/sys', type: 'sysfs', source: 'sysfs', options: [...guarded, readonly] },
    {
      destination: '/sys/fs/cgroup',
      type: 'cgroup',
      source: 'cgroup',
      options: [...guarded, 'relatime', host.cgroups.mode === 'unified' && privileged ? 'rw' : readonly],
    },
  ];
}

/** Files of the pod that all of its containers see. */
function sandboxMounts({ sandbox, config }: SpecInput): SpecMount[] {
  const { files } = sandbox;
  const access = config.linux?.securityContext?.readonlyRootfs === true ? 'ro' : 'rw';
  const file = (destination: string, source: string | undefined): SpecMount[] =>
    source === undefined || source === ''
      ? []
      : [{ destination, type: 'bind', source, options: ['rbind', 'rprivate', access] }];
  const shm: SpecMount[] =
    files.shm === ''
      ? []
      : [
          {
            destination: '/dev/shm',
            type: 'bind',
            source: files.shm,
            options: ['rbind', 'rprivate', 'nosuid', 'noexec', 'nodev', 'rw'],
          },
        ];
  return [
    ...shm,
    ...file('/etc/hosts', files.hosts),
    ...file('/etc/resolv.conf', files.resolvConf),
    ...file('/etc/hostname', files.hostname),
  ];
}

/** A fresh directory for each VOLUME of the image that the request does not cover. */
function volumeMounts(
  { image, volumesDirectory, sandbox }: SpecInput,
  taken: ReadonlySet<string>,
): SpecMount[] {
  const idMap = idMapOf(sandbox);
  return Object.keys(image.config.Volumes ?? {})
    .map((path) => posix.normalize(posix.join('/', path)))
    .filter((path) => path !== '/' && !taken.has(path))
    .map((destination, index) => {
      const source = posix.join(volumesDirectory, String(index));
      mkdirSync(source, { recursive: true, mode: 0o755 });
      if (idMap !== undefined) chownSync(source, idMap.uid, idMap.gid);
      return { destination, type: 'bind', source, options: ['rbind', 'rprivate', 'rw'] };
    });
}

function requestedMount(input: SpecInput, mount: Mount, index: number): SpecMount {
  const destination = destinationOf(mount);
  if (mount.image !== undefined && mount.image.image !== '')
    return imageVolumeMount(mount, destination, input.imageVolumes.get(index));
  if (mount.hostPath === '')
    throw new SkiffError('INVALID_ARGUMENT', `the mount on "${destination}" has neither host_path nor image`);
  const source = sourceOf(mount, destination);
  requirePropagation(mount, source);
  const options = ['rbind', propagationOption(mount), ...accessOptions(input, mount, destination)];
  return { destination, type: 'bind', source, options, ...idMappings(input, mount, destination) };
}

function destinationOf(mount: Mount): string {
  if (mount.containerPath === '') throw new SkiffError('INVALID_ARGUMENT', 'a mount has no container_path');
  // Relative paths are taken from the root, as runtimes do; ".." cannot climb above it.
  const normal = posix.normalize(posix.join('/', mount.containerPath));
  if (normal === '/') throw new SkiffError('INVALID_ARGUMENT', 'a mount on "/" would hide the container');
  return normal.endsWith('/') ? normal.slice(0, -1) : normal;
}

/** The host path without symbolic links; a missing one becomes a directory, as every runtime does. */
function sourceOf(mount: Mount, destination: string): string {
  if (!isAbsolute(mount.hostPath))
    throw new SkiffError(
      'INVALID_ARGUMENT',
      `the host_path "${mount.hostPath}" of the mount on "${destination}" is not absolute`,
    );
  try {
    return realpathSync(mount.hostPath);
  } catch (error) {
    if (errnoOf(error) !== 'ENOENT')
      throw wrapError(error, `Cannot mount "${mount.hostPath}" on "${destination}"`);
  }
  try {
    makeDirectories(mount.hostPath);
    return realpathSync(mount.hostPath);
  } catch (error) {
    throw wrapError(error, `Cannot make the directory "${mount.hostPath}" for the mount on "${destination}"`);
  }
}

function propagationOption(mount: Mount): string {
  switch (mount.propagation) {
    case MountPropagation.PROPAGATION_BIDIRECTIONAL:
      return 'rshared';
    case MountPropagation.PROPAGATION_HOST_TO_CONTAINER:
      return 'rslave';
    default:
      return 'rprivate';
  }
}

/** `ro` covers the mount itself; submounts stay writable unless it is recursive (`rro`). */
function accessOptions(input: SpecInput, mount: Mount, destination: string): string[] {
  if (!mount.recursiveReadOnly) return [mount.readonly ? 'ro' : 'rw'];
  const refuse = (why: string) =>
    new SkiffError(
      'INVALID_ARGUMENT',
      `the mount on "${destination}" cannot be recursively read-only: ${why}`,
    );
  if (!mount.readonly) throw refuse('it must be readonly as well');
  if (mount.propagation !== MountPropagation.PROPAGATION_PRIVATE)
    throw refuse('its propagation must be PRIVATE');
  if (!input.features.recursiveReadOnly) throw refuse(`${input.runtime} on this kernel cannot do that`);
  return ['rro'];
}

function idMappings(
  input: SpecInput,
  mount: Mount,
  destination: string,
): Pick<SpecMount, 'uidMappings' | 'gidMappings'> {
  if (mount.uidMappings.length === 0 && mount.gidMappings.length === 0) return {};
  // With the owners of the pod Skiff binds itself (`mapped-mounts.ts`).
  if (!input.features.idMappedMounts && !isMappingOfPod(input.sandbox, mount))
    throw new SkiffError(
      'FAILED_PRECONDITION',
      `the mount on "${destination}" has id mappings, which ${input.runtime} on this kernel cannot do`,
    );
  return { uidMappings: specMappings(mount.uidMappings), gidMappings: specMappings(mount.gidMappings) };
}
