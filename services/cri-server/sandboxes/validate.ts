/** Checks a sandbox's config before anything is made for it. */
import { type IDMapping, NamespaceMode, type PodSandboxConfig } from '#contracts/cri/runtime_pb.ts';
import { SkiffError } from '#foundation/base/errors.ts';

/** Which namespaces a sandbox shares with the host, and its user namespace. */
export interface NamespacePlan {
  hostNetwork: boolean;
  hostPid: boolean;
  hostIpc: boolean;
  /** All containers share one PID namespace. */
  sharedPid: boolean;
  /** One range each; left out without a user namespace. */
  user?: { uid: IDMapping; gid: IDMapping };
}

/**
 * Checks the config of a new sandbox.
 *
 * @throws SkiffError INVALID_ARGUMENT naming the field.
 */
export function validateConfig(config: PodSandboxConfig | undefined): asserts config is PodSandboxConfig {
  if (config === undefined) throw invalid('config is missing');
  const { metadata } = config;
  if (!metadata?.name || !metadata.namespace || !metadata.uid)
    throw invalid('config.metadata needs a name, a namespace and a uid');
  if (Buffer.byteLength(config.hostname) > 64) throw invalid('config.hostname is longer than 64 bytes');
  if (/[^\x21-\x7e]|\//.test(config.hostname))
    throw invalid('config.hostname has characters no host name has');
  if (config.logDirectory !== '' && !config.logDirectory.startsWith('/'))
    throw invalid(`config.log_directory "${config.logDirectory}" is not an absolute path`);
  if (config.logDirectory.split('/').includes('..'))
    throw invalid(`config.log_directory "${config.logDirectory}" has ".." in it`);
  const parent = config.linux?.cgroupParent ?? '';
  if (parent.split('/').includes('..'))
    throw invalid(`config.linux.cgroup_parent "${parent}" has ".." in it`);
  namespacePlan(config);
}

/** @throws SkiffError INVALID_ARGUMENT for modes that a sandbox cannot have. */
export function namespacePlan(config: PodSandboxConfig): NamespacePlan {
  const options = config.linux?.securityContext?.namespaceOptions;
  const network = options?.network ?? NamespaceMode.POD;
  const pid = options?.pid ?? NamespaceMode.POD;
  const ipc = options?.ipc ?? NamespaceMode.POD;
  if (network !== NamespaceMode.POD && network !== NamespaceMode.NODE)
    throw invalid('namespace_options.network must be POD or NODE');
  if (ipc !== NamespaceMode.POD && ipc !== NamespaceMode.NODE)
    throw invalid('namespace_options.ipc must be POD or NODE');
  const hostNetwork = network === NamespaceMode.NODE;
  return {
    hostNetwork,
    hostPid: pid === NamespaceMode.NODE,
    hostIpc: ipc === NamespaceMode.NODE,
    // A request without options asks for nothing; only one that says POD shares.
    sharedPid: options !== undefined && pid === NamespaceMode.POD,
    user: userPlan(config),
  };
}

function userPlan(config: PodSandboxConfig): NamespacePlan['user'] {
  const options = config.linux?.securityContext?.namespaceOptions?.usernsOptions;
  if (options === undefined) return undefined;
  const { mode, uids, gids } = options;
  if (mode === NamespaceMode.NODE) {
    if (uids.length + gids.length > 0) throw invalid('userns_options: mode NODE takes no mappings');
    return undefined;
  }
  if (mode !== NamespaceMode.POD) throw invalid('userns_options.mode must be POD or NODE');
  return { uid: oneMapping('uids', uids), gid: oneMapping('gids', gids) };
}

function oneMapping(field: string, mappings: IDMapping[]): IDMapping {
  const [mapping] = mappings;
  if (mapping === undefined || mappings.length !== 1)
    throw invalid(`userns_options.${field} needs exactly one mapping, not ${mappings.length}`);
  if (mapping.containerId !== 0 || mapping.length < 1)
    throw invalid(`userns_options.${field} must map container id 0 and at least one id`);
  return mapping;
}

function invalid(why: string): SkiffError {
  return new SkiffError('INVALID_ARGUMENT', `Cannot run the pod sandbox: ${why}`);
}
