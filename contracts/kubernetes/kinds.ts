/** The kinds that Skiff knows, and how the API names them. */
import { SkiffError } from '#foundation/base/errors.ts';
import { apiVersionOf, type GroupVersionKind, groupVersion } from './meta.ts';

/** A kind that is stored. */
export interface KindInfo extends GroupVersionKind {
  plural: string;
  singular: string;
  namespaced: boolean;
  shortNames: readonly string[];
  /** Its model in the schema table: the kind's name, but for kinds of which there are two. */
  model: string;
  /** Named in `kubectl get all`. */
  inAll?: boolean;
}

function row(
  apiVersion: string,
  kind: string,
  plural: string,
  scope: 'ns' | 'all',
  ...shortNames: string[]
): KindInfo {
  const namespaced = scope === 'ns';
  return {
    ...groupVersion(apiVersion),
    kind,
    plural,
    singular: kind.toLowerCase(),
    namespaced,
    shortNames,
    model: kind,
    inAll: kind === 'Pod' || kind === 'Service',
  };
}

/** All stored kinds. */
export const kinds: readonly KindInfo[] = [
  row('v1', 'ConfigMap', 'configmaps', 'ns', 'cm'),
  row('v1', 'Event', 'events', 'ns', 'ev'),
  row('v1', 'Namespace', 'namespaces', 'all', 'ns'),
  row('v1', 'Node', 'nodes', 'all', 'no'),
  row('v1', 'PersistentVolumeClaim', 'persistentvolumeclaims', 'ns', 'pvc'),
  row('v1', 'PersistentVolume', 'persistentvolumes', 'all', 'pv'),
  row('v1', 'Pod', 'pods', 'ns', 'po'),
  row('v1', 'Secret', 'secrets', 'ns'),
  row('v1', 'ServiceAccount', 'serviceaccounts', 'ns', 'sa'),
  row('v1', 'Service', 'services', 'ns', 'svc'),
  row('certificates.k8s.io/v1', 'CertificateSigningRequest', 'certificatesigningrequests', 'all', 'csr'),
  row('coordination.k8s.io/v1', 'Lease', 'leases', 'ns'),
  row('discovery.k8s.io/v1', 'EndpointSlice', 'endpointslices', 'ns'),
  { ...row('events.k8s.io/v1', 'Event', 'events', 'ns', 'ev'), model: 'EventsEvent' },
  row('node.k8s.io/v1', 'RuntimeClass', 'runtimeclasses', 'all'),
  row('scheduling.k8s.io/v1', 'PriorityClass', 'priorityclasses', 'all', 'pc'),
  row('storage.k8s.io/v1', 'CSIDriver', 'csidrivers', 'all'),
  row('storage.k8s.io/v1', 'CSINode', 'csinodes', 'all'),
  row('storage.k8s.io/v1', 'StorageClass', 'storageclasses', 'all', 'sc'),
  row('storage.k8s.io/v1', 'VolumeAttachment', 'volumeattachments', 'all'),
];

/** Kinds that people bring and a node does not run, with what to do instead. */
const elsewhere: Record<string, string> = {
  Deployment: 'controllers need a cluster; write a Pod',
  ReplicaSet: 'controllers need a cluster; write a Pod',
  StatefulSet: 'controllers need a cluster; write a Pod',
  DaemonSet: 'controllers need a cluster; write a Pod',
  ReplicationController: 'controllers need a cluster; write a Pod',
  Job: 'controllers need a cluster; write a Pod with restartPolicy: Never or OnFailure',
  CronJob: 'controllers need a cluster; write a Pod',
  Ingress: 'there is no ingress controller; give a container a hostPort',
  ResourceQuota: 'one node has no tenants to share it out to; set limits on pods',
  Role: 'access is by certificate: administrators, the node, and readers (group skiff:readers)',
  RoleBinding: 'access is by certificate: administrators, the node, and readers (group skiff:readers)',
  ClusterRole: 'access is by certificate: administrators, the node, and readers (group skiff:readers)',
  ClusterRoleBinding: 'access is by certificate: administrators, the node, and readers (group skiff:readers)',
  NetworkPolicy: 'pods reach each other by the CNI configuration alone',
  PodDisruptionBudget: 'evictions are never held back here',
  HorizontalPodAutoscaler: 'there is nothing to scale; write Pods',
  LimitRange: 'set requests and limits on the pods themselves',
  Endpoints: 'nothing fills them; EndpointSlices are stored, and pods are reached by their own address',
  CustomResourceDefinition: 'this API has a fixed set of kinds',
};

/** Finds a kind. */
export function findKind(apiVersion: string, kind: string): KindInfo | undefined {
  return kinds.find((each) => each.kind === kind && apiVersionOf(each) === apiVersion);
}

/**
 * Finds a kind, or says why there is none.
 *
 * @throws SkiffError NOT_FOUND with a hint.
 */
export function requireKind(apiVersion: string, kind: string): KindInfo {
  const found = findKind(apiVersion, kind);
  if (found === undefined) throw new SkiffError('NOT_FOUND', unknownKind(apiVersion, kind));
  return found;
}

/** Why a kind is not known, and what to write instead. */
export function unknownKind(apiVersion: string, kind: string): string {
  const hint = elsewhere[kind];
  if (hint !== undefined) return `one node does not run ${apiVersion} ${kind}: ${hint}`;
  const sameKind = kinds.find((each) => each.kind === kind);
  if (sameKind !== undefined)
    return `${kind} is served as apiVersion: ${apiVersionOf(sameKind)}, not ${apiVersion}`;
  const alike = kinds.find((each) => each.kind.toLowerCase() === kind.toLowerCase());
  const known = kinds.map((each) => each.kind).join(', ');
  const meant = alike === undefined ? `known are ${known}` : `did you mean ${alike.kind}?`;
  return `there is no kind ${JSON.stringify(kind)} in ${JSON.stringify(apiVersion)}: ${meant}`;
}

/** The URL path of a kind's collection: `/api/v1/namespaces/x/pods`. */
export function collectionPath(kind: KindInfo, namespace?: string): string {
  const prefix = kind.group === '' ? `/api/${kind.version}` : `/apis/${kind.group}/${kind.version}`;
  return kind.namespaced && namespace !== undefined
    ? `${prefix}/namespaces/${namespace}/${kind.plural}`
    : `${prefix}/${kind.plural}`;
}
