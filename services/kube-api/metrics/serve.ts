/** `metrics.k8s.io` for `kubectl top`: usage as the kubelet's summary has it. */
import { matchesLabels, parseLabelSelector } from '#contracts/kubernetes/labels.ts';
import { formatTime } from '#contracts/kubernetes/meta.ts';
import { formatQuantity } from '#contracts/kubernetes/quantity.ts';
import type { KubeObject } from '#contracts/kubernetes/types.ts';
import type { ApiRequest } from '../http/request.ts';
import { sendJson } from '../http/respond.ts';
import { methodNotAllowed, notFound } from '../http/status.ts';
import type { Registry } from '../kinds/registry.ts';
import type { Kubelet } from '../pods/kubelet.ts';
import type { Store } from '../storage/store.ts';

/** Serves usage. @returns false for other paths. */
export type Metrics = (request: ApiRequest) => Promise<boolean>;

interface Usage {
  cpu?: { time?: string; usageNanoCores?: number };
  memory?: { workingSetBytes?: number };
}

interface Summary {
  node: Usage & { nodeName: string };
  pods?: { podRef: { name: string; namespace: string }; containers?: (Usage & { name: string })[] }[];
}

const apiVersion = 'metrics.k8s.io/v1beta1';
const window = '10s';

/** Makes the handler. @param now milliseconds since the epoch. */
export function createMetrics(deps: {
  kubelet: Pick<Kubelet, 'json'>;
  store: Pick<Store, 'get'>;
  registry: Registry;
  now(): number;
}): Metrics {
  return async (request) => {
    const { group, version, resource, name, namespace } = request.target;
    if (group !== 'metrics.k8s.io' || version !== 'v1beta1' || (resource !== 'pods' && resource !== 'nodes'))
      return false;
    if (request.method !== 'GET') throw methodNotAllowed();
    const summary = await deps.kubelet.json<Summary>('/stats/summary?only_cpu_and_memory=true');
    const timestamp = formatTime(deps.now());
    const items = resource === 'nodes' ? [nodeMetrics(summary, timestamp)] : podMetrics(summary, timestamp);
    const requirements = parseLabelSelector(request.query.get('labelSelector') ?? '');
    const found = items
      .filter(
        (item) =>
          (name === undefined || item.metadata.name === name) &&
          (namespace === undefined || resource === 'nodes' || item.metadata.namespace === namespace),
      )
      .map((item) => withLabels(item, deps.store.get(resource, item.metadata)?.object))
      .filter((item) => matchesLabels(requirements, item.metadata.labels));
    if (name === undefined) {
      const kind = resource === 'nodes' ? 'NodeMetricsList' : 'PodMetricsList';
      sendJson(request, 200, { kind, apiVersion, metadata: {}, items: found });
      return true;
    }
    const [one] = found;
    if (one === undefined)
      throw notFound({ ...deps.registry.byResource(resource).kind, group: 'metrics.k8s.io' }, name);
    sendJson(request, 200, one);
    return true;
  };
}

function withLabels(item: KubeObject, object: KubeObject | undefined): KubeObject {
  return { ...item, metadata: { ...item.metadata, labels: object?.metadata.labels } };
}

function usage({ cpu, memory }: Usage): { cpu: string; memory: string } {
  const bytes = BigInt(Math.round(memory?.workingSetBytes ?? 0));
  return {
    cpu: formatQuantity({ nanos: BigInt(Math.round(cpu?.usageNanoCores ?? 0)), format: 'DecimalSI' }),
    memory: `${bytes / 1024n}Ki`,
  };
}

function nodeMetrics({ node }: Summary, timestamp: string) {
  const metadata = { name: node.nodeName, creationTimestamp: timestamp };
  return { kind: 'NodeMetrics', apiVersion, metadata, timestamp, window, usage: usage(node) } as KubeObject;
}

function podMetrics({ pods = [] }: Summary, timestamp: string): KubeObject[] {
  return pods.map(({ podRef, containers = [] }) => ({
    kind: 'PodMetrics',
    apiVersion,
    metadata: { ...podRef, creationTimestamp: timestamp },
    timestamp,
    window,
    containers: containers.map((each) => ({ name: each.name, usage: usage(each) })),
  }));
}
