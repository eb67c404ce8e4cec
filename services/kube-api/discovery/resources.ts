/** What the API says it has: for kubectl and every client that asks before it calls. */
import { apiVersionOf } from '#contracts/kubernetes/meta.ts';
import type { Registry } from '../kinds/registry.ts';
import type { ResourceType } from '../kinds/strategy.ts';

/** One row of discovery. */
export interface DiscoveredResource {
  name: string;
  singularName: string;
  namespaced: boolean;
  /** Of the body, where it is not the resource's own. */
  group?: string;
  version?: string;
  kind: string;
  verbs: string[];
  shortNames?: string[];
  categories?: string[];
  storageVersionHash?: string;
}

/** A group's version with its rows. */
export interface DiscoveredVersion {
  group: string;
  version: string;
  resources: DiscoveredResource[];
}

const storedVerbs = ['create', 'delete', 'deletecollection', 'get', 'list', 'patch', 'update', 'watch'];
const partVerbs = ['get', 'patch', 'update'];

/** Subresources that are no part of the object: name, kind of the body, its group and version, verbs. */
const actions: Record<string, [string, string, string, string[]][]> = {
  pods: [
    ['attach', 'PodAttachOptions', 'v1', ['create', 'get']],
    ['binding', 'Binding', 'v1', ['create']],
    ['eviction', 'Eviction', 'policy/v1', ['create']],
    ['exec', 'PodExecOptions', 'v1', ['create', 'get']],
    ['log', 'Pod', 'v1', ['get']],
    ['portforward', 'PodPortForwardOptions', 'v1', ['create', 'get']],
    ['proxy', 'PodProxyOptions', 'v1', ['create', 'delete', 'get', 'patch', 'update']],
  ],
  services: [['proxy', 'ServiceProxyOptions', 'v1', ['create', 'delete', 'get', 'patch', 'update']]],
  nodes: [['proxy', 'NodeProxyOptions', 'v1', ['get']]],
  serviceaccounts: [['token', 'TokenRequest', 'authentication.k8s.io/v1', ['create']]],
};

/** Resources that only answer: nothing of them is stored. */
const reviews: [group: string, plural: string, kind: string, namespaced: boolean][] = [
  ['authentication.k8s.io', 'tokenreviews', 'TokenReview', false],
  ['authentication.k8s.io', 'selfsubjectreviews', 'SelfSubjectReview', false],
  ['authorization.k8s.io', 'localsubjectaccessreviews', 'LocalSubjectAccessReview', true],
  ['authorization.k8s.io', 'selfsubjectaccessreviews', 'SelfSubjectAccessReview', false],
  ['authorization.k8s.io', 'selfsubjectrulesreviews', 'SelfSubjectRulesReview', false],
  ['authorization.k8s.io', 'subjectaccessreviews', 'SubjectAccessReview', false],
];

/** Everything, by group and version; the core group first. */
export function discover(registry: Registry): DiscoveredVersion[] {
  const versions = new Map<string, DiscoveredVersion>();
  const place = (group: string, version: string) => {
    const key = apiVersionOf({ group, version });
    const found = versions.get(key) ?? { group, version, resources: [] };
    versions.set(key, found);
    return found.resources;
  };
  for (const type of registry.all) place(type.kind.group, type.kind.version).push(...rowsOf(type));
  for (const [group, name, kind, namespaced] of reviews)
    place(group, 'v1').push({ name, singularName: kind.toLowerCase(), namespaced, kind, verbs: ['create'] });
  for (const [name, kind, namespaced] of [
    ['nodes', 'NodeMetrics', false],
    ['pods', 'PodMetrics', true],
  ] as const)
    place('metrics.k8s.io', 'v1beta1').push({
      name,
      singularName: '',
      namespaced,
      kind,
      verbs: ['get', 'list'],
    });
  for (const { resources } of versions.values()) resources.sort((a, b) => (a.name < b.name ? -1 : 1));
  return [...versions.values()].sort((a, b) => (a.group < b.group ? -1 : 1));
}

function rowsOf({ kind, strategy, resource }: ResourceType): DiscoveredResource[] {
  const { plural, singular, namespaced, shortNames, inAll } = kind;
  const main: DiscoveredResource = {
    name: plural,
    singularName: singular,
    namespaced,
    kind: kind.kind,
    verbs: storedVerbs,
  };
  if (shortNames.length > 0) main.shortNames = [...shortNames];
  if (inAll === true) main.categories = ['all'];
  const parts = Object.keys(strategy.parts ?? {}).map((part) => ({
    name: `${plural}/${part}`,
    singularName: '',
    namespaced,
    kind: kind.kind,
    verbs: part === 'finalize' ? ['update'] : partVerbs,
  }));
  const other = (actions[resource] ?? []).map(([name, body, apiVersion, verbs]) => {
    const [version = '', group = ''] = apiVersion.split('/').reverse();
    const foreign = group === kind.group ? {} : { group, version };
    return { name: `${plural}/${name}`, singularName: '', namespaced, ...foreign, kind: body, verbs };
  });
  return [main, ...parts, ...other];
}
