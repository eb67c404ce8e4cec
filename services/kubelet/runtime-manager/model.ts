/**
 * Pods as the runtime has them, in the kubelet's terms. Times are milliseconds since the epoch, 0 for never;
 * lists are newest first.
 */
import type { ContainerResources, ContainerUser, Mount, NamespaceMode } from '#contracts/cri/runtime_pb.ts';

export type RuntimeState = 'created' | 'running' | 'exited' | 'unknown';

/** A container in a list: what a relist compares. */
export interface ListedContainer {
  id: string;
  name: string;
  sandboxId: string;
  state: RuntimeState;
  attempt: number;
  createdAt: number;
}

/** A sandbox in a list. */
export interface ListedSandbox {
  id: string;
  attempt: number;
  ready: boolean;
  createdAt: number;
}

/** Everything the runtime has under one pod UID. */
export interface ListedPod {
  uid: string;
  name: string;
  namespace: string;
  sandboxes: ListedSandbox[];
  containers: ListedContainer[];
}

/** A sandbox in full. */
export interface SandboxRecord extends ListedSandbox {
  /** All its addresses, the primary first. */
  ips: string[];
  network: NamespaceMode | undefined;
  runtimeHandler: string;
}

/** A container in full. */
export interface ContainerRecord extends ListedContainer {
  startedAt: number;
  finishedAt: number;
  exitCode: number;
  /** The image as the user named it. */
  image: string;
  /** The runtime's reference: becomes the status's imageID. */
  imageRef: string;
  imageId: string;
  /** FNV-1a of name and image when it was created; empty for foreign containers. */
  hash: string;
  restartCount: number;
  reason: string;
  /** The runtime's message, or the termination message. */
  message: string;
  logPath: string;
  mounts: Mount[];
  resources: ContainerResources | undefined;
  user: ContainerUser | undefined;
  stopSignal: number;
  annotations: Record<string, string>;
}

/** A pod in full, as of `at`. */
export interface RuntimePodStatus {
  uid: string;
  name: string;
  namespace: string;
  ips: string[];
  sandboxes: SandboxRecord[];
  containers: ContainerRecord[];
  /** When the answers were asked for: what happened before is in them. */
  at: number;
}

/** A pod the runtime has nothing of. */
export function emptyStatus(uid: string, at: number): RuntimePodStatus {
  return { uid, name: '', namespace: '', ips: [], sandboxes: [], containers: [], at };
}

/** The newest container of that name, of whatever sandbox. */
export function newestOf(status: RuntimePodStatus, name: string): ContainerRecord | undefined {
  return status.containers.find((container) => container.name === name);
}

/** Whether a container may hold a process: created counts, unknown may. */
export function mayRun(state: RuntimeState): boolean {
  return state !== 'exited';
}
