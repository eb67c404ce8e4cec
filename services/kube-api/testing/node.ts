/** A node's part in tests: registers itself and sets the status of pods, with the node's own kubeconfig. */
import { type ApiClient, openApi } from '#contracts/kubernetes/client/client.ts';
import { loadKubeconfig } from '#contracts/kubernetes/client/kubeconfig.ts';

/** Connects with a kubeconfig file. */
export function clientFor(path: string): ApiClient {
  return openApi(loadKubeconfig(path));
}

const now = () => `${new Date().toISOString().slice(0, 19)}Z`;

/** Milliseconds between two renewals; the API gives a node up that is silent for 50 s. */
const renewMs = 5_000;

/** Renews the lease of a node as long as the client is open: tests may take minutes on a busy machine. */
async function keepLease(node: ApiClient, name: string): Promise<void> {
  const renew = () =>
    node.update(`/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/${name}`, {
      metadata: { name, namespace: 'kube-node-lease' },
      spec: {
        holderIdentity: name,
        leaseDurationSeconds: 40,
        renewTime: new Date().toISOString().replace('Z', '000Z'),
      },
    });
  await renew();
  const timer = setInterval(() => void renew().catch(() => clearInterval(timer)), renewMs).unref();
}

/**
 * Registers node `name`, ready and with room for pods, and says that it lives until the client is closed.
 *
 * @param isKept whether it says so; otherwise it has no lease.
 */
export async function registerNode(node: ApiClient, name: string, isKept = true): Promise<void> {
  await node.create('/api/v1/nodes', {
    apiVersion: 'v1',
    kind: 'Node',
    metadata: { name, labels: { 'kubernetes.io/hostname': name, 'kubernetes.io/os': 'linux' } },
    status: {
      capacity: { cpu: '4', memory: '8Gi', pods: '110' },
      allocatable: { cpu: '4', memory: '8Gi', pods: '110' },
      addresses: [{ type: 'InternalIP', address: '127.0.0.1' }],
      conditions: [
        {
          type: 'Ready',
          status: 'True',
          reason: 'KubeletReady',
          lastHeartbeatTime: now(),
          lastTransitionTime: now(),
        },
      ],
      nodeInfo: { kubeletVersion: 'v1.36.2' },
    },
  });
  if (isKept) await keepLease(node, name);
}

/** Says that a pod runs. */
export async function reportRunning(
  node: ApiClient,
  namespace: string,
  name: string,
  containers: readonly string[],
): Promise<void> {
  const condition = (type: string) => ({ type, status: 'True', lastTransitionTime: now() });
  await node.patch(`/api/v1/namespaces/${namespace}/pods/${name}/status`, 'strategic-merge-patch', {
    status: {
      phase: 'Running',
      podIP: '10.88.0.9',
      podIPs: [{ ip: '10.88.0.9' }],
      startTime: now(),
      conditions: ['Initialized', 'Ready', 'ContainersReady'].map(condition),
      containerStatuses: containers.map((each) => ({
        name: each,
        image: 'x:1',
        imageID: 'sha256:1',
        ready: true,
        restartCount: 0,
        started: true,
        state: { running: { startedAt: now() } },
      })),
    },
  });
}
