/**
 * How lists and structures merge: the patch keys of strategic merge, and the list types of server-side apply.
 * What is not named here is atomic where it is a list, and granular where it is a map or a structure.
 * https://kubernetes.io/docs/reference/using-api/server-side-apply/#merge-strategy
 */

/** How a list merges. */
export interface ListRule {
  /** Server-side apply: entries are told apart by these fields. Empty for a set of scalars. */
  keys: readonly string[];
  /** Strategic merge: entries merge by this field; for a set the empty string; undefined replaces the list. */
  mergeKey?: string;
  /** Strategic merge: fields that the patch does not name are dropped from unions (`$retainKeys`). */
  retainKeys?: boolean;
}

const by = (mergeKey: string, ...keys: string[]): ListRule => ({
  keys: keys.length > 0 ? keys : [mergeKey],
  mergeKey,
});
/** Keyed for server-side apply only. */
const keyed = (...keys: string[]): ListRule => ({ keys });

const rules: Record<string, ListRule> = {
  'ObjectMeta.ownerReferences': by('uid'),
  'ObjectMeta.finalizers': { keys: [], mergeKey: '' },
  'PodSpec.containers': by('name'),
  'PodSpec.initContainers': by('name'),
  'PodSpec.ephemeralContainers': by('name'),
  'PodSpec.volumes': { ...by('name'), retainKeys: true },
  'PodSpec.imagePullSecrets': by('name'),
  'PodSpec.hostAliases': by('ip'),
  'PodSpec.topologySpreadConstraints': by('topologyKey', 'topologyKey', 'whenUnsatisfiable'),
  'PodSpec.resourceClaims': { ...by('name'), retainKeys: true },
  'PodSpec.schedulingGates': by('name'),
  'Container.env': by('name'),
  'Container.ports': by('containerPort', 'containerPort', 'protocol'),
  'Container.volumeMounts': by('mountPath'),
  'Container.volumeDevices': by('devicePath'),
  'EphemeralContainer.env': by('name'),
  'EphemeralContainer.ports': by('containerPort', 'containerPort', 'protocol'),
  'EphemeralContainer.volumeMounts': by('mountPath'),
  'EphemeralContainer.volumeDevices': by('devicePath'),
  'ResourceRequirements.claims': keyed('name'),
  'PodStatus.conditions': by('type'),
  'PodStatus.podIPs': by('ip'),
  'PodStatus.hostIPs': { keys: ['ip'], mergeKey: 'ip' },
  'PodStatus.resourceClaimStatuses': { ...by('name'), retainKeys: true },
  'ContainerStatus.volumeMounts': by('mountPath'),
  'ContainerStatus.allocatedResourcesStatus': by('name'),
  'ResourceStatus.resources': keyed('resourceID'),
  'NodeStatus.conditions': by('type'),
  'NodeStatus.addresses': by('type'),
  'NodeSpec.podCIDRs': { keys: [], mergeKey: '' },
  'NamespaceStatus.conditions': by('type'),
  'ServiceSpec.ports': by('port', 'port', 'protocol'),
  'ServiceStatus.conditions': by('type'),
  'ServiceAccount.secrets': by('name'),
  'PersistentVolumeClaimStatus.conditions': by('type'),
  'CSINodeSpec.drivers': by('name'),
  'CertificateSigningRequestStatus.conditions': keyed('type'),
  'Endpoint.addresses': { keys: [] },
};

/** Structures and maps that server-side apply owns as one piece. */
const atomic = new Set([
  'PodSpec.nodeSelector',
  'NodeSelector',
  'LabelSelector',
  'ResourceFieldSelector',
  'ObjectFieldSelector',
  'SecretKeySelector',
  'ConfigMapKeySelector',
  'FileKeySelector',
  'LocalObjectReference',
  'ObjectReference',
  'TypedLocalObjectReference',
  'SecretReference',
  'NodeSelectorTerm',
  'TopologySelectorTerm',
  'Scheduling.nodeSelector',
  'ServiceSpec.selector',
]);

/** Values that keyed lists take for granted when an entry leaves them out. */
const keyDefaults: Record<string, string> = { protocol: 'TCP' };

/** How the list at a model's field merges; undefined for atomic lists. */
export function listRule(model: string, field: string): ListRule | undefined {
  return rules[`${model}.${field}`];
}

/** Whether a map or structure at this field, or of this model, is one piece to server-side apply. */
export function isAtomic(model: string, field: string, type?: string): boolean {
  return atomic.has(`${model}.${field}`) || (type !== undefined && atomic.has(type));
}

/** The value of a key field of a list entry. */
export function keyValue(entry: unknown, key: string): unknown {
  if (typeof entry !== 'object' || entry === null) return undefined;
  return (entry as Record<string, unknown>)[key] ?? keyDefaults[key];
}
