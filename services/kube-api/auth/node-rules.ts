/**
 * What a node may do: see and change itself, its lease and the pods bound to it, and read what those pods name.
 * The Node authorizer and the NodeRestriction admission in one.
 * https://kubernetes.io/docs/reference/access-authn-authz/node/
 */
import { parseFieldSelector } from '#contracts/kubernetes/fields.ts';
import type { PersistentVolumeClaim, Pod } from '#contracts/kubernetes/types.ts';
import type { Store } from '../storage/store.ts';
import type { Attributes } from './attributes.ts';

const prefix = 'system:node:';

/** The node that a user is; undefined for other users. */
export function nodeOf({ name, groups }: Attributes['user']): string | undefined {
  return groups.includes('system:nodes') && name.startsWith(prefix) ? name.slice(prefix.length) : undefined;
}

type Rule = (asked: Attributes, node: string, store: Pick<Store, 'get' | 'list'>) => true | string;

const reads = new Set(['get', 'list', 'watch']);
const anyRead: Rule = ({ verb }) => reads.has(verb) || `nodes may only read these`;
const anyCreate: Rule = ({ verb }) => verb === 'create' || 'nodes may only create these';

const rules: Record<string, Rule | undefined> = {
  nodes: ownNode,
  'csinodes.storage.k8s.io': ({ verb, name }, node) =>
    verb === 'create' || name === node || 'a node may only use its own',
  'leases.coordination.k8s.io': ({ namespace, name, verb }, node) =>
    (namespace === 'kube-node-lease' && (name === node || verb === 'create')) ||
    'a node may only use its own lease',
  pods: podRule,
  secrets: referenced((pod) => secretNames(pod)),
  configmaps: referenced((pod) => configMapNames(pod)),
  persistentvolumeclaims: referenced((pod) => claimNames(pod)),
  persistentvolumes: volumeRule,
  serviceaccounts: accountRule,
  services: anyRead,
  'endpointslices.discovery.k8s.io': anyRead,
  'runtimeclasses.node.k8s.io': anyRead,
  'csidrivers.storage.k8s.io': anyRead,
  'volumeattachments.storage.k8s.io': ({ verb }) => verb === 'get' || 'nodes may only get these',
  events: eventRule,
  'events.events.k8s.io': eventRule,
  'certificatesigningrequests.certificates.k8s.io': ({ verb, subresource }) =>
    (subresource === undefined && (reads.has(verb) || verb === 'create')) ||
    'nodes may only make and read requests',
  'tokenreviews.authentication.k8s.io': anyCreate,
  'subjectaccessreviews.authorization.k8s.io': anyCreate,
};

/** Whether a node may; else why not. */
export function nodeMay(asked: Attributes, node: string, store: Pick<Store, 'get' | 'list'>): true | string {
  const resource = asked.group === '' ? (asked.resource ?? '') : `${asked.resource}.${asked.group}`;
  const rule = rules[resource];
  return rule === undefined ? 'nodes have no business with this resource' : rule(asked, node, store);
}

function eventRule({ verb }: Attributes): true | string {
  return ['create', 'patch', 'update'].includes(verb) || 'nodes may only write events';
}

function ownNode({ verb, name, subresource, fieldSelector }: Attributes, node: string): true | string {
  if (verb === 'create') return subresource === undefined || 'nodes may only make themselves';
  if (verb === 'list' || verb === 'watch') {
    const only = selects(fieldSelector, 'metadata.name', node) || name === node;
    return only || `node '${node}' can only list and watch itself`;
  }
  if (verb === 'delete' || verb === 'deletecollection') return 'nodes may not delete nodes';
  if (name !== node) return `node '${node}' is not allowed to ${verb} node '${name}'`;
  return subresource === undefined || subresource === 'status' || 'nodes may only use their status';
}

function selects(selector: string | undefined, field: string, value: string): boolean {
  try {
    return parseFieldSelector(selector ?? '').some(
      (each) => each.field === field && each.equal && each.value === value,
    );
  } catch {
    return false;
  }
}

function podRule(
  { verb, namespace, name, subresource, fieldSelector }: Attributes,
  node: string,
  store: Pick<Store, 'get' | 'list'>,
): true | string {
  if (verb === 'list' || verb === 'watch')
    return (
      selects(fieldSelector, 'spec.nodeName', node) ||
      `node '${node}' can only list and watch pods with spec.nodeName=${node}`
    );
  // That a new pod is a mirror pod of this node is for admission: the body is not read yet.
  if (verb === 'create' && subresource === undefined) return true;
  const pod = store.get('pods', { namespace, name: name ?? '' })?.object as Pod | undefined;
  if (pod !== undefined && pod.spec.nodeName !== node)
    return `node '${node}' can only ${verb} pods with spec.nodeName set to itself`;
  if (verb === 'get' || verb === 'delete') return true;
  const status = subresource === 'status' && (verb === 'update' || verb === 'patch');
  return (
    status || (subresource === 'eviction' && verb === 'create') || 'nodes may only change the status of pods'
  );
}

function referenced(names: (pod: Pod, store: Pick<Store, 'get'>) => (string | undefined)[]): Rule {
  return ({ verb, namespace, name, fieldSelector }, node, store) => {
    if (!reads.has(verb)) return 'nodes may only read these';
    const asked = name ?? /metadata\.name==?([^,]+)/.exec(fieldSelector ?? '')?.[1];
    if (asked === undefined || namespace === undefined)
      return 'nodes may only ask for one at a time, by name';
    const found = podsOf(node, store, namespace).some((pod) => names(pod, store).includes(asked));
    return found || `no relationship found between node '${node}' and this object`;
  };
}

function podsOf(node: string, store: Pick<Store, 'list'>, namespace?: string): Pod[] {
  return store
    .list('pods', namespace)
    .map(({ object }) => object as Pod)
    .filter((pod) => pod.spec.nodeName === node);
}

function containersOf({ spec }: Pod) {
  return [...spec.containers, ...(spec.initContainers ?? []), ...(spec.ephemeralContainers ?? [])];
}

function secretNames(pod: Pod): (string | undefined)[] {
  const { spec } = pod;
  const fromContainers = containersOf(pod).flatMap((each) => [
    ...(each.envFrom ?? []).map((source) => source.secretRef?.name),
    ...(each.env ?? []).map((variable) => variable.valueFrom?.secretKeyRef?.name),
  ]);
  const fromVolumes = (spec.volumes ?? []).flatMap((volume) => [
    volume.secret?.secretName,
    ...(volume.projected?.sources ?? []).map((source) => source.secret?.name),
    volume.csi?.nodePublishSecretRef?.name,
  ]);
  return [...fromContainers, ...fromVolumes, ...(spec.imagePullSecrets ?? []).map((each) => each.name)];
}

function configMapNames(pod: Pod): (string | undefined)[] {
  const fromContainers = containersOf(pod).flatMap((each) => [
    ...(each.envFrom ?? []).map((source) => source.configMapRef?.name),
    ...(each.env ?? []).map((variable) => variable.valueFrom?.configMapKeyRef?.name),
  ]);
  const fromVolumes = (pod.spec.volumes ?? []).flatMap((volume) => [
    volume.configMap?.name,
    ...(volume.projected?.sources ?? []).map((source) => source.configMap?.name),
  ]);
  return [...fromContainers, ...fromVolumes];
}

function claimNames(pod: Pod): (string | undefined)[] {
  return (pod.spec.volumes ?? []).flatMap((volume) => [
    volume.persistentVolumeClaim?.claimName,
    volume.ephemeral === undefined ? undefined : `${pod.metadata.name}-${volume.name}`,
  ]);
}

function volumeRule(
  { verb, name }: Attributes,
  node: string,
  store: Pick<Store, 'get' | 'list'>,
): true | string {
  if (verb !== 'get') return 'nodes may only get these';
  const used = podsOf(node, store).some((pod) =>
    claimNames(pod).some((claim) => {
      const found = store.get('persistentvolumeclaims', {
        namespace: pod.metadata.namespace,
        name: claim ?? '',
      });
      return (found?.object as PersistentVolumeClaim | undefined)?.spec.volumeName === name;
    }),
  );
  return used || `no relationship found between node '${node}' and this object`;
}

function accountRule(
  { verb, namespace, name, subresource }: Attributes,
  node: string,
  store: Pick<Store, 'get' | 'list'>,
): true | string {
  const used = podsOf(node, store, namespace).some(
    (pod) => (pod.spec.serviceAccountName ?? 'default') === name,
  );
  if (!used) return `no relationship found between node '${node}' and this object`;
  if (subresource === 'token') return verb === 'create' || 'nodes may only create tokens';
  return verb === 'get' || 'nodes may only get these';
}
