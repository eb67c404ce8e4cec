/** The kubelet's view of an API server, over REST: the same for a cluster's and for the embedded one. */
import type { ApiClient } from '#contracts/kubernetes/client/client.ts';
import type {
  ConfigMap,
  KubeObject,
  Node,
  Pod,
  PodStatus,
  Secret,
  Service,
  TokenRequest,
} from '#contracts/kubernetes/types.ts';
import { isSkiffError } from '#foundation/base/errors.ts';
import type { Logger } from '#foundation/base/log.ts';
import type { Clock } from '#foundation/base/time.ts';
import { nameOf, namespaceOf, uidOf } from '../pods/identity.ts';
import type { KubeletApi, RestRequest } from '../ports.ts';
import { createObjectCache } from './object-cache.ts';
import { referencesOf } from './references.ts';
import { type ReflectorRequest, runReflector } from './reflector.ts';
import { rest } from './rest.ts';

export interface KubeletApiDeps {
  /** From `openApi(loadKubeconfig(path))`; closed by `stop`. */
  client: ApiClient;
  nodeName: string;
  clock: Clock;
  logger: Logger;
}

/** What the watches fill. */
interface Copies {
  services: readonly Service[];
  servicesReady: boolean;
  node: Node | undefined;
}

export function createKubeletApi(deps: KubeletApiDeps): KubeletApi {
  const { client, nodeName } = deps;
  const stopping = new AbortController();
  const running: Promise<void>[] = [];
  const copies: Copies = { services: [], servicesReady: false, node: undefined };
  const configMaps = createObjectCache<ConfigMap>(deps, 'configmaps');
  const secrets = createObjectCache<Secret>(deps, 'secrets');
  const watch = <T extends KubeObject>(request: ReflectorRequest<T>, signal: AbortSignal) => {
    running.push(runReflector(deps, request, AbortSignal.any([signal, stopping.signal])));
  };
  return {
    ...podCalls(client),
    request: <T>(request: RestRequest) => rest<T>(client, request),
    watchPods(listener, signal) {
      const query = { fieldSelector: `spec.nodeName=${nodeName}` };
      watch<Pod>({ path: '/api/v1/pods', query, onChange: (pods) => listener([...pods.values()]) }, signal);
    },
    registerPod(pod) {
      const references = referencesOf(pod);
      configMaps.register(pod, references.configMaps);
      secrets.register(pod, references.secrets);
    },
    unregisterPod(pod) {
      configMaps.unregister(pod);
      secrets.unregister(pod);
    },
    configMap: configMaps.get,
    secret: secrets.get,
    services: () => copies.services,
    servicesReady: () => copies.servicesReady,
    node: () => copies.node,
    createToken: (namespace, account, request) => createToken(client, namespace, account, request),
    start() {
      const query = { fieldSelector: `metadata.name=${nodeName}` };
      const onNode = (nodes: ReadonlyMap<string, Node>) => {
        copies.node = nodes.get(`/${nodeName}`);
      };
      watch<Node>({ path: '/api/v1/nodes', query, onChange: onNode }, stopping.signal);
      const onServices = (services: ReadonlyMap<string, Service>) => {
        copies.services = [...services.values()];
        copies.servicesReady = true;
      };
      watch<Service>({ path: '/api/v1/services', onChange: onServices }, stopping.signal);
    },
    async stop() {
      stopping.abort();
      configMaps.close();
      secrets.close();
      await Promise.allSettled(running);
      await client.close();
    },
  };
}

function podPath(namespace: string, name?: string): string {
  return `/api/v1/namespaces/${namespace}/pods${name === undefined ? '' : `/${name}`}`;
}

/** The calls that read and write pods. */
function podCalls(
  client: ApiClient,
): Pick<KubeletApi, 'getPod' | 'createPod' | 'deletePod' | 'patchPodStatus'> {
  return {
    async getPod(namespace, name) {
      try {
        return await client.get<Pod>(podPath(namespace, name));
      } catch (error) {
        if (isSkiffError(error, 'NOT_FOUND')) return undefined;
        throw error;
      }
    },
    createPod: (pod) => client.create<Pod>(podPath(namespaceOf(pod)), pod),
    async deletePod(namespace, name, { uid, gracePeriodSeconds }) {
      const body = {
        apiVersion: 'v1',
        kind: 'DeleteOptions',
        gracePeriodSeconds,
        preconditions: { uid },
      };
      try {
        await client.delete(podPath(namespace, name), body);
      } catch (error) {
        // Gone already, or another pod has its name now: 409 on the precondition.
        if (!isSkiffError(error, 'NOT_FOUND', 'ABORTED')) throw error;
      }
    },
    patchPodStatus: (pod, status) => patchStatus(client, pod, status),
  };
}

/**
 * Strategic merge: conditions merge by type and addresses by themselves, so what left those lists is deleted by
 * name; lists of containers are replaced; a field that left the status is removed by null. The UID guards against
 * a pod of the same name that came meanwhile.
 */
function patchStatus(client: ApiClient, pod: Pod, status: PodStatus): Promise<Pod> {
  const before = pod.status ?? {};
  const body = {
    metadata: { uid: uidOf(pod) },
    status: {
      ...status,
      ...nulled(before, status),
      conditions: mergeable('type', before.conditions, status.conditions),
      podIPs: mergeable('ip', before.podIPs, status.podIPs),
      hostIPs: mergeable('ip', before.hostIPs, status.hostIPs),
    },
  };
  return client.patch<Pod>(`${podPath(namespaceOf(pod), nameOf(pod))}/status`, 'strategic-merge-patch', body);
}

/** A list that the server merges by `key`: items and fields that it has and should not are deleted by name. */
function mergeable<K extends string, T extends { [P in K]: string }>(
  key: K,
  before: readonly T[] = [],
  after: readonly T[] = [],
): object[] | undefined {
  const old = new Map(before.map((item) => [item[key], item]));
  const changed = after.map((item) => ({ ...item, ...nulled(old.get(item[key]), item) }));
  const kept = new Set(after.map((item) => item[key]));
  const dropped = before.filter((item) => !kept.has(item[key]));
  const list = [...changed, ...dropped.map((item) => ({ $patch: 'delete', [key]: item[key] }))];
  return list.length === 0 ? undefined : list;
}

/** Null for each field that `before` has and `after` has not: merging would keep it. */
function nulled(before: object | undefined, after: object): Record<string, null> {
  const now = new Map(Object.entries(after));
  const gone = Object.keys(before ?? {}).filter((field) => now.get(field) === undefined);
  return Object.fromEntries(gone.map((field) => [field, null]));
}

async function createToken(
  client: ApiClient,
  namespace: string,
  account: string,
  { audiences = [], expirationSeconds, pod }: Parameters<KubeletApi['createToken']>[2],
): Promise<{ token: string; expirationTimestamp: string }> {
  const path = `/api/v1/namespaces/${namespace}/serviceaccounts/${account}/token`;
  const request: TokenRequest = {
    apiVersion: 'authentication.k8s.io/v1',
    kind: 'TokenRequest',
    metadata: {},
    spec: {
      audiences,
      ...(expirationSeconds === undefined ? {} : { expirationSeconds }),
      boundObjectRef: { apiVersion: 'v1', kind: 'Pod', name: nameOf(pod), uid: uidOf(pod) },
    },
  };
  const { status } = await client.create<TokenRequest>(path, request);
  return { token: status?.token ?? '', expirationTimestamp: status?.expirationTimestamp ?? '' };
}
