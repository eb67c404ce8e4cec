/** What is there from the start, and in every namespace: namespaces, service accounts, the authority's certificate. */
import type { ConfigMap, KubeObject, Namespace, RuntimeClass, Service } from '#contracts/kubernetes/types.ts';
import type { Controller } from './controller.ts';
import { ensureObject, type ObjectDeps } from './objects.ts';

const firstNamespaces = ['default', 'kube-system', 'kube-public', 'kube-node-lease'];
/** Where pods would find the API if their network reached it. */
const serviceAddress = '10.43.0.1';

/** Pods in virtual machines, and pods that must not be in one. The overhead is the VM's own: kernel, agent, hypervisor. */
const runtimeClasses = [
  { name: 'vm', overhead: { podFixed: { memory: '256Mi', cpu: '100m' } } },
  { name: 'plain' },
];

/** Makes the namespaces, the runtime classes, the system's priority classes and the API's own service. */
export async function bootstrap(deps: ObjectDeps, port: number): Promise<void> {
  for (const name of firstNamespaces) {
    await ensureObject(deps, 'namespaces', {
      apiVersion: 'v1',
      kind: 'Namespace',
      metadata: { name, labels: { 'kubernetes.io/metadata.name': name } },
      spec: { finalizers: ['kubernetes'] },
      status: { phase: 'Active' },
    } as Namespace);
  }
  for (const [name, value] of [
    ['system-cluster-critical', 2_000_000_000],
    ['system-node-critical', 2_000_001_000],
  ] as const) {
    await ensureObject(deps, 'priorityclasses.scheduling.k8s.io', {
      apiVersion: 'scheduling.k8s.io/v1',
      kind: 'PriorityClass',
      metadata: { name },
      value,
      preemptionPolicy: 'PreemptLowerPriority',
    } as KubeObject);
  }
  for (const { name, ...rest } of runtimeClasses)
    await ensureObject(deps, 'runtimeclasses.node.k8s.io', {
      apiVersion: 'node.k8s.io/v1',
      kind: 'RuntimeClass',
      metadata: { name },
      handler: name,
      ...rest,
    } as RuntimeClass);
  await ensureObject(deps, 'services', {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: {
      name: 'kubernetes',
      namespace: 'default',
      labels: { component: 'apiserver', provider: 'kubernetes' },
    },
    spec: {
      type: 'ClusterIP',
      clusterIP: serviceAddress,
      clusterIPs: [serviceAddress],
      ipFamilies: ['IPv4'],
      ipFamilyPolicy: 'SingleStack',
      internalTrafficPolicy: 'Cluster',
      sessionAffinity: 'None',
      ports: [{ name: 'https', port: 443, protocol: 'TCP', targetPort: port }],
    },
    status: { loadBalancer: {} },
  } as Service);
}

/** Gives every namespace its default service account and `kube-root-ca.crt`. */
export async function fillNamespaces(deps: ObjectDeps, ca: string): Promise<void> {
  for (const { object } of deps.store.list('namespaces')) {
    if (object.metadata.deletionTimestamp !== undefined) continue;
    const namespace = object.metadata.name;
    const account = { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: 'default', namespace } };
    await ensureObject(deps, 'serviceaccounts', account);
    const map = {
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { name: 'kube-root-ca.crt', namespace },
      data: { 'ca.crt': ca },
    };
    await ensureObject(deps, 'configmaps', map as ConfigMap);
  }
}

/** Does so for namespaces that come later, and again when somebody deletes them. */
export function namespaceContent(deps: ObjectDeps, ca: string): Controller {
  return {
    name: 'namespace-content',
    watches: ['namespaces', 'serviceaccounts', 'configmaps'],
    concerns: (resource, { type }) => (resource === 'namespaces' ? type === 'ADDED' : type === 'DELETED'),
    pass: () => fillNamespaces(deps, ca),
  };
}
