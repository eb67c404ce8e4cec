/** What the runtime has, pod by pod: the relist. */
import type { Container, PodSandbox } from '#contracts/cri/runtime_pb.ts';
import { ContainerState, PodSandboxState } from '#contracts/cri/runtime_pb.ts';
import { containerNameLabel, podNameLabel, podNamespaceLabel, podUidLabel } from './labels.ts';
import type { ListedContainer, ListedPod, RuntimeState } from './model.ts';
import type { RuntimeCalls } from './runtime-calls.ts';

/** Milliseconds of the CRI's nanoseconds. */
export function millis(nanos: bigint): number {
  return Number(nanos / 1000n) / 1000;
}

export function stateOf(state: ContainerState): RuntimeState {
  if (state === ContainerState.CONTAINER_RUNNING) return 'running';
  if (state === ContainerState.CONTAINER_EXITED) return 'exited';
  return state === ContainerState.CONTAINER_CREATED ? 'created' : 'unknown';
}

/** All pods of the runtime by UID; sandboxes and containers without the kubelet's labels are left out. */
export async function listPods(runtime: RuntimeCalls): Promise<Map<string, ListedPod>> {
  const [sandboxes, containers] = await Promise.all([runtime.listPodSandbox({}), runtime.listContainers({})]);
  const pods = new Map<string, ListedPod>();
  for (const sandbox of sandboxes.items) addSandbox(pods, sandbox);
  for (const container of containers.containers) addContainer(pods, container);
  return pods;
}

function podOf(pods: Map<string, ListedPod>, uid: string, name: string, namespace: string): ListedPod {
  let pod = pods.get(uid);
  if (pod === undefined) {
    pod = { uid, name, namespace, sandboxes: [], containers: [] };
    pods.set(uid, pod);
  }
  return pod;
}

function addSandbox(pods: Map<string, ListedPod>, sandbox: PodSandbox): void {
  const meta = sandbox.metadata;
  if (meta === undefined || meta.uid === '') return;
  podOf(pods, meta.uid, meta.name, meta.namespace).sandboxes.push({
    id: sandbox.id,
    attempt: meta.attempt,
    ready: sandbox.state === PodSandboxState.SANDBOX_READY,
    createdAt: millis(sandbox.createdAt),
  });
}

function addContainer(pods: Map<string, ListedPod>, container: Container): void {
  const uid = container.labels[podUidLabel];
  if (uid === undefined || container.metadata === undefined) return;
  const { [podNameLabel]: name = '', [podNamespaceLabel]: namespace = '' } = container.labels;
  podOf(pods, uid, name, namespace).containers.push(listedContainer(container));
}

/** The fields of a container that a relist compares. */
function listedContainer(container: Container): ListedContainer {
  return {
    id: container.id,
    name: container.labels[containerNameLabel] ?? container.metadata?.name ?? '',
    sandboxId: container.podSandboxId,
    state: stateOf(container.state),
    attempt: container.metadata?.attempt ?? 0,
    createdAt: millis(container.createdAt),
  };
}
