/** Which namespaces a container joins, gets for itself, or shares with the machine. */

import { type IDMapping, NamespaceMode } from '#contracts/cri/runtime_pb.ts';
import type { LinuxSpec, SpecIdMapping } from '#contracts/oci/runtime.ts';
import { SkiffError } from '#foundation/base/errors.ts';
import type { RootIdMap, SandboxView } from '../../ports.ts';
import type { SpecInput } from './input.ts';

type Namespaces = LinuxSpec['namespaces'];

/** The namespace part of config.json, with the id mappings of a user namespace. */
export function namespacesOf(
  input: SpecInput,
): Pick<LinuxSpec, 'namespaces' | 'uidMappings' | 'gidMappings'> {
  const { sandbox, config, host } = input;
  const namespaces: Namespaces = [{ type: 'mount' }];
  const join = (type: Namespaces[number]['type'], path: string | undefined) => {
    if (path !== undefined) namespaces.push({ type, path });
  };
  join('network', sandbox.namespaces.network);
  join('ipc', sandbox.namespaces.ipc);
  join('uts', sandbox.namespaces.uts);
  namespaces.push(...pidNamespace(input));
  // Version 1 has no use for it: its hierarchies are bound one by one, read-only.
  if (host.cgroups.mode === 'unified' && config.linux?.securityContext?.privileged !== true)
    namespaces.push({ type: 'cgroup' });
  return { namespaces, ...userNamespace(input, namespaces) };
}

function pidNamespace({ config, sandbox, targetPid }: SpecInput): Namespaces {
  const mode = config.linux?.securityContext?.namespaceOptions?.pid ?? NamespaceMode.POD;
  switch (mode) {
    case NamespaceMode.NODE:
      return [];
    case NamespaceMode.CONTAINER:
      return [{ type: 'pid' }];
    case NamespaceMode.TARGET:
      if (targetPid === undefined)
        throw new SkiffError('FAILED_PRECONDITION', 'the target container of the PID namespace does not run');
      return [{ type: 'pid', path: `/proc/${targetPid}/ns/pid` }];
    default:
      // A pod without a namespace of its own was asked for one per container by its own config.
      return [{ type: 'pid', path: sandbox.namespaces.pid }];
  }
}

function userNamespace(
  { config, sandbox, features, runtime }: SpecInput,
  namespaces: Namespaces,
): Pick<LinuxSpec, 'uidMappings' | 'gidMappings'> {
  const pod = sandbox.config.linux?.securityContext?.namespaceOptions?.usernsOptions;
  const own = config.linux?.securityContext?.namespaceOptions?.usernsOptions;
  const inPod = pod !== undefined && pod.mode === NamespaceMode.POD;
  const wanted = own !== undefined && own.mode === NamespaceMode.POD;
  if (own !== undefined && (wanted !== inPod || (wanted && !sameMappings(own, pod))))
    throw new SkiffError('INVALID_ARGUMENT', 'the user namespace of a container must be that of its sandbox');
  if (!inPod || sandbox.namespaces.user === undefined) return {};
  if (!features.userNamespaces)
    throw new SkiffError(
      'FAILED_PRECONDITION',
      `the sandbox has a user namespace, which containers of ${runtime} cannot have here: its version, the kernel ` +
        "(5.19) or the image store's file system cannot map the owners of files; run the pod without one (hostUsers: true)",
    );
  namespaces.push({ type: 'user', path: sandbox.namespaces.user });
  // Runtimes need the mappings as well, to own what they mount.
  return { uidMappings: specMappings(pod.uids), gidMappings: specMappings(pod.gids) };
}

function sameMappings(
  a: { uids: IDMapping[]; gids: IDMapping[] },
  b: { uids: IDMapping[]; gids: IDMapping[] } | undefined,
): boolean {
  const text = (mappings: IDMapping[]) =>
    JSON.stringify(mappings.map(({ hostId, containerId, length }) => [hostId, containerId, length]));
  return b !== undefined && text(a.uids) === text(b.uids) && text(a.gids) === text(b.gids);
}

/** CRI id mappings as config.json has them. */
export function specMappings(mappings: readonly IDMapping[]): SpecIdMapping[] {
  return mappings.map(({ containerId, hostId, length }) => ({
    containerID: containerId,
    hostID: hostId,
    size: length,
  }));
}

/** The owners that the files of a sandbox's containers have; undefined without a user namespace. */
export function idMapOf({
  config,
  namespaces,
}: Pick<SandboxView, 'config' | 'namespaces'>): RootIdMap | undefined {
  const options = config.linux?.securityContext?.namespaceOptions?.usernsOptions;
  const [uid] = options?.uids ?? [];
  const [gid] = options?.gids ?? [];
  if (namespaces.user === undefined || uid === undefined || gid === undefined) return undefined;
  return {
    userNamespace: namespaces.user,
    uid: uid.hostId,
    gid: gid.hostId,
    uids: uid.length,
    gids: gid.length,
  };
}

/** Whether the ids of a mount are mapped as those of its pod are. */
export function isMappingOfPod(
  { config, namespaces }: Pick<SandboxView, 'config' | 'namespaces'>,
  mount: { uidMappings: IDMapping[]; gidMappings: IDMapping[] },
): boolean {
  if (namespaces.user === undefined) return false;
  const own = { uids: mount.uidMappings, gids: mount.gidMappings };
  return sameMappings(own, config.linux?.securityContext?.namespaceOptions?.usernsOptions);
}
