/** A node's part in tests: registers itself and sets the status of pods, with the node's own kubeconfig. */
import { type ApiClient, openApi } from '#contracts/kubernetes/client/client.ts';
import { loadKubeconfig } from '#contracts/kubernetes/client/kubeconfig.ts';

/** Connects with a kubeconfig file. */
export function clientFor(path: string): ApiClient {
  return openApi(loadKubeconfig(path));
}

const now = () => `${new Date().toISOString().slice(0, 19)}Z`;

/** Registers node `name`, ready and with room for pods. */
export async function registerNode(node: ApiClient, name: string): Promise<void> {
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
