/** Serves discovery, in the aggregated form and in the older one, and the version. */
import { arch, version as nodeVersion } from 'node:process';
import { apiVersionOf } from '#contracts/kubernetes/meta.ts';
import type { ApiRequest } from '../http/request.ts';
import { sendJson, sendText } from '../http/respond.ts';
import { noSuchPath } from '../http/status.ts';
import type { Registry } from '../kinds/registry.ts';
import { type DiscoveredResource, type DiscoveredVersion, discover } from './resources.ts';

/** The release whose objects and behaviour the API has. */
const kubernetesVersion = { major: '1', minor: '36', gitVersion: 'v1.36.2' };

/** Serves the paths that say what there is. @returns false for other paths. */
export function createDiscovery(registry: Registry): (request: ApiRequest) => boolean {
  const versions = discover(registry);
  const groups = versions.filter(({ group }) => group !== '');
  return (request) => {
    const [root, group, version, ...rest] = request.segments;
    if (rest.length > 0 || request.method !== 'GET') return false;
    if (root === 'version' && group === undefined) sendJson(request, 200, versionInfo());
    else if (root === 'api' && version === undefined) serveCore(request, group, versions);
    else if (root === 'apis' && group === undefined) serveGroups(request, groups);
    else if (root === 'apis' && version === undefined)
      sendJson(request, 200, { kind: 'APIGroup', apiVersion: 'v1', ...groupOf(find(groups, group)) });
    else if (root === 'apis') sendJson(request, 200, resourceList(find(groups, group, version)));
    else return false;
    return true;
  };
}

function versionInfo() {
  const goarch = arch === 'x64' ? 'amd64' : arch;
  return {
    ...kubernetesVersion,
    gitCommit: 'skiff',
    gitTreeState: 'clean',
    buildDate: '1970-01-01T00:00:00Z',
    goVersion: `node ${nodeVersion}`,
    compiler: 'skiff',
    platform: `linux/${goarch}`,
  };
}

function find(versions: readonly DiscoveredVersion[], group = '', version?: string): DiscoveredVersion {
  const found = versions.find(
    (each) => each.group === group && (version === undefined || each.version === version),
  );
  if (found === undefined) throw noSuchPath();
  return found;
}

function aggregated(request: ApiRequest): string | undefined {
  const accept = request.raw.headers.accept ?? '';
  for (const range of accept.split(',')) {
    if (!range.includes('as=APIGroupDiscoveryList')) continue;
    const version = /v=(v2beta1|v2)\b/.exec(range)?.[1];
    if (version !== undefined && range.trim().startsWith('application/json')) return version;
  }
  return undefined;
}

function sendAggregated(request: ApiRequest, form: string, versions: readonly DiscoveredVersion[]): void {
  const items = versions.map((each) => ({
    metadata: { name: each.group, creationTimestamp: null },
    versions: [{ version: each.version, freshness: 'Current', resources: aggregatedResources(each) }],
  }));
  const body = {
    kind: 'APIGroupDiscoveryList',
    apiVersion: `apidiscovery.k8s.io/${form}`,
    metadata: {},
    items,
  };
  const type = `application/json;g=apidiscovery.k8s.io;v=${form};as=APIGroupDiscoveryList`;
  sendText(request.response, 200, type, JSON.stringify(body));
}

function aggregatedResources({ group, version, resources }: DiscoveredVersion) {
  const responseKind = (row: DiscoveredResource) => ({
    group: row.group ?? group,
    version: row.version ?? version,
    kind: row.kind,
  });
  const parts = (name: string) => resources.filter((row) => row.name.startsWith(`${name}/`));
  return resources
    .filter((row) => !row.name.includes('/'))
    .map((row) => ({
      resource: row.name,
      responseKind: responseKind(row),
      scope: row.namespaced ? 'Namespaced' : 'Cluster',
      singularResource: row.singularName,
      verbs: row.verbs,
      ...(row.shortNames === undefined ? {} : { shortNames: row.shortNames }),
      ...(row.categories === undefined ? {} : { categories: row.categories }),
      subresources: parts(row.name).map((part) => ({
        subresource: part.name.slice(row.name.length + 1),
        responseKind: responseKind(part),
        verbs: part.verbs,
      })),
    }));
}

function serveCore(
  request: ApiRequest,
  version: string | undefined,
  versions: readonly DiscoveredVersion[],
): void {
  if (version !== undefined) {
    sendJson(request, 200, resourceList(find(versions, '', version)));
    return;
  }
  const form = aggregated(request);
  if (form !== undefined) {
    sendAggregated(request, form, [find(versions, '')]);
    return;
  }
  const serverAddress = request.raw.headers.host ?? '';
  sendJson(request, 200, {
    kind: 'APIVersions',
    versions: ['v1'],
    serverAddressByClientCIDRs: [{ clientCIDR: '0.0.0.0/0', serverAddress }],
  });
}

function groupOf({ group, version }: DiscoveredVersion) {
  const preferredVersion = { groupVersion: apiVersionOf({ group, version }), version };
  return { name: group, versions: [preferredVersion], preferredVersion };
}

function serveGroups(request: ApiRequest, groups: readonly DiscoveredVersion[]): void {
  const form = aggregated(request);
  if (form !== undefined) sendAggregated(request, form, groups);
  else sendJson(request, 200, { kind: 'APIGroupList', apiVersion: 'v1', groups: groups.map(groupOf) });
}

function resourceList({ group, version, resources }: DiscoveredVersion) {
  return {
    kind: 'APIResourceList',
    apiVersion: 'v1',
    groupVersion: apiVersionOf({ group, version }),
    resources,
  };
}
